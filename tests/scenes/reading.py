"""A slow, obvious reader of the world's captions, which shares no code with the writer.

It knows English word order only: which things a caption names, with which adjectives, and where it says that the
first one is. Geometry is judged by plain comparison of centres, without the writer's margins.
"""

import re

NAMES = (
    "car|bus|boat|stop sign|traffic light|bird|cat|umbrella|suitcase|kite|skateboard|bottle|cup|banana|apple|donut"
    "|chair|bed|book|clock"
)
COLORS = "blue|red|green|yellow|black|white|brown|gray|orange"
SIZES = {"large": "large", "big": "large", "huge": "large", "small": "small", "little": "small", "tiny": "small"}
THING = re.compile(rf"\b[Aa]n? (?:(?P<size>{'|'.join(SIZES)}) )?(?:(?P<color>{COLORS}) )?(?P<name>{NAMES})\b", re.ASCII)
PLACE = re.compile(r"\b(in front of|behind|above|below|over|under|left|right|foreground|background|front|back)\b")


def is_true(caption, scene):
    """Whether everything that a caption says is so in a scene; unreadable captions raise."""
    mentions = list(THING.finditer(caption))
    if not mentions:
        raise ValueError(f"no thing in {caption!r}")
    things = [find(scene, mention) for mention in mentions]
    if None in things or len({thing.name for thing in things}) < len(things):
        return False
    places = list(PLACE.finditer(caption))
    if len(places) > 1:
        raise ValueError(f"two places in {caption!r}")
    return not places or is_placed(places[0], caption, mentions, things)


def find(scene, mention):
    for thing in scene.things:
        fits = thing.name == mention["name"] and mention["color"] in (None, thing.color)
        if fits and (mention["size"] is None or SIZES[mention["size"]] == thing.size):
            return thing
    return None


def is_placed(place, caption, mentions, things):
    word = place[0]
    before = [thing for mention, thing in zip(mentions, things, strict=True) if mention.end() <= place.start()]
    after = [thing for mention, thing in zip(mentions, things, strict=True) if mention.start() >= place.end()]
    subject = before[-1]
    if word in ("foreground", "front"):
        return subject.depth == 1
    if word in ("background", "back"):
        return subject.depth == -1
    relative = word in ("above", "below", "over", "under", "in front of", "behind") or re.match(
        r" of an? ", caption[place.end() :]
    )
    other = after[0] if relative else None
    if word == "in front of":
        return subject.depth == 1 and other.depth == -1
    if word == "behind":
        return subject.depth == -1 and other.depth == 1
    x, y = (other.x, other.y) if other else (128, 128)
    return {
        "left": subject.x < x,
        "right": subject.x > x,
        "above": subject.y < y,
        "over": subject.y < y,
        "below": subject.y > y,
        "under": subject.y > y,
    }[word]
