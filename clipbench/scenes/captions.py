"""Captions of a scene in the style of COCO.

A scene has five captions, each with a random choice of objects and attributes. Every caption is true of its
picture, and becomes false if the first object's name is replaced by that of another object in the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from clipbench.scenes.claims import SIZE_WORDS, Claim, Mention, places
from clipbench.scenes.rng import Dice
from clipbench.scenes.scene import Scene, SceneObject, dice_for

CAPTIONS_PER_SCENE: Final = 5
_CAPTION_STREAM: Final = 2

# Percentages
_COLOR_RATE: Final = 22  # of the objects that a caption names, those with their color
_SIZE_RATE: Final = 14  # … those with their size
_PLACE_RATE: Final = 24  # of captions that say where the first object is, if that is clear
_BACKDROP_RATE: Final = 62  # of captions that name the backdrop
_WHOLE_RATE: Final = 80  # of captions that name every object

_BACKDROP_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "beach": ("on the beach", "at a sandy beach", "by the seaside"),
    "street": ("on the street", "in a city street", "in the city"),
    "field": ("in a field", "in a meadow", "out in a grassy field"),
    "snow": ("in the snow", "on a snowy day", "in a snowy landscape"),
    "room": ("in a room", "on a wooden floor", "inside a house"),
    "water": ("on the water", "on the lake", "out at sea"),
    "desert": ("in the desert", "among sand dunes", "on a hot desert day"),
    "night": ("at night", "by moonlight", "on a dark night"),
}
_PLAIN: Final[dict[int, tuple[str, ...]]] = {
    1: ("{a} {bg}", "a photo of {a} {bg}", "there is {a} {bg}", "a picture of {a} {bg}", "{a} is shown {bg}"),
    2: (
        "{a} and {b} {bg}",
        "{a} with {b} {bg}",
        "{a} next to {b} {bg}",
        "{a} beside {b} {bg}",
        "a photo of {a} and {b} {bg}",
        "there is {a} and {b} {bg}",
        "{a} and {b} are seen {bg}",
    ),
    3: (
        "{a}, {b} and {c} {bg}",
        "{a} with {b} and {c} {bg}",
        "a photo of {a}, {b} and {c} {bg}",
        "there is {a}, {b} and {c} {bg}",
        "a picture of {a} and {b} with {c} {bg}",
    ),
}
_PLACE_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "left": ("on the left", "on the left side of the picture", "to the left"),
    "right": ("on the right", "on the right side of the picture", "to the right"),
    "foreground": ("in the foreground", "in the foreground of the picture"),
    "background": ("in the background", "in the background of the picture"),
    "front": ("in the front", "at the front"),
    "back": ("in the back", "at the back"),
}
_RELATION_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above", "up above", "placed above"),
    "below": ("below", "down below", "placed below"),
    "over": ("over",),
    "under": ("under",),
    "in front of": ("in front of", "just in front of"),
    "behind": ("behind", "just behind"),
}
_PLACED: Final[dict[int, tuple[str, ...]]] = {
    1: ("{a} {at} {bg}", "a photo with {a} {at} {bg}", "there is {a} {at} {bg}"),
    2: ("{a} {at} with {b} {bg}", "{a} is {at} with {b} {bg}"),
    3: ("{a} {at} with {b} and {c} {bg}", "{a} is {at} with {b} and {c} {bg}"),
}
_RELATED: Final[dict[int, tuple[str, ...]]] = {
    2: ("{a} {at} {b} {bg}", "{a} is {at} {b} {bg}", "a photo of {a} {at} {b} {bg}", "there is {a} {at} {b} {bg}"),
    3: (
        "{a} {at} {b} with {c} {bg}",
        "{a} is {at} {b}, and there is {c} {bg}",
        "a photo of {a} {at} {b}, with {c} {bg}",
    ),
}


def captions(scene: Scene) -> tuple[str, ...]:
    """The five captions of a scene."""
    dice = dice_for(scene.split, scene.seed, scene.index, _CAPTION_STREAM)
    return tuple(write(dice, scene, claim(dice, scene)) for _ in range(CAPTIONS_PER_SCENE))


def claim(dice: Dice, scene: Scene) -> Claim:
    """A true claim about a scene that no other object's name in it would keep true."""
    while True:
        made = _claim(dice, scene)
        if not _true_of_another(made, scene):
            return made


def claim_about(dice: Dice, scene: Scene, thing: SceneObject, concept: str) -> Claim:
    """A true claim with a given object as the subject of its leftmost keyword of a concept (object, color or size).

    The object comes first in the sentence, and of no other object is the property mentioned. For concept object it
    is not described as orange, because that is also an object's name.
    """
    made = _claim(dice, scene, thing)
    first, *others = made.mentions
    if concept == "color":
        first, others = replace(first, color=thing.color), [replace(other, color=None) for other in others]
    elif concept == "size":
        word = first.size or dice.choice(SIZE_WORDS[thing.size])
        first, others = replace(first, size=word), [replace(other, size=None) for other in others]
    elif first.color == "orange":
        first = replace(first, color=None)
    return replace(made, mentions=(first, *others))


def _claim(dice: Dice, scene: Scene, about: SceneObject | None = None) -> Claim:
    count = len(scene.things) if dice.percent(_WHOLE_RATE) else dice.between(1, len(scene.things))
    chosen = dice.sample(scene.things, len(scene.things))
    if about is not None:
        chosen = [about, *(thing for thing in chosen if thing != about)]
    chosen = chosen[:count]
    place, relative = None, False
    if dice.percent(_PLACE_RATE):
        relative = count > 1 and dice.percent(75)
        words = places(scene, chosen[0], chosen[1] if relative else None)
        place = dice.choice(words) if words else None
    mentions = tuple(_mention(dice, thing) for thing in chosen)
    return Claim(mentions, place, relative and place is not None, dice.percent(_BACKDROP_RATE))


def _mention(dice: Dice, thing: SceneObject) -> Mention:
    color = thing.color if dice.percent(_COLOR_RATE) else None
    size = dice.choice(SIZE_WORDS[thing.size]) if dice.percent(_SIZE_RATE) else None
    return Mention(thing.name, color, size)


def _true_of_another(made: Claim, scene: Scene) -> bool:
    """Whether the claim remains true with the name of another object in the picture in first place."""
    first = made.mentions[0]
    others = (thing.name for thing in scene.things if thing.name != first.name)
    return any(made.with_first(Mention(name, first.color, first.size)).holds(scene, loosely=True) for name in others)


def write(dice: Dice, scene: Scene, made: Claim) -> str:
    """Write a claim as a sentence."""
    count = len(made.mentions)
    at = ""
    if made.place is None:
        template = dice.choice(_PLAIN[count])
    elif made.relative:
        template, at = dice.choice(_RELATED[count]), dice.choice(_RELATION_PHRASES[made.place])
    else:
        template, at = dice.choice(_PLACED[count]), dice.choice(_PLACE_PHRASES[made.place])
    phrases = dict(zip("abc", (_noun_phrase(mention) for mention in made.mentions), strict=False))
    backdrop = dice.choice(_BACKDROP_PHRASES[scene.backdrop]) if made.backdrop else ""
    text = template.format(at=at, bg=backdrop, **phrases).strip()
    if dice.percent(75):
        text = text[0].upper() + text[1:]
    return text + "." if dice.percent(65) else text


def _noun_phrase(mention: Mention) -> str:
    words = " ".join(word for word in (mention.size, mention.color, mention.name) if word)
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
