"""Prompts and captions that are suggested to an annotator, and the check of the caption that comes back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clipbench.annotate.checks import without_controls
from clipbench.concepts import Concept
from clipbench.errors import ConfigError, DataError

# COCO's super-categories, with the names of the paper's Table 3.
SUPERCATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "person": ("person",),
    "vehicle": ("bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "boat"),
    "outdoor": ("traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "accessory": ("backpack", "umbrella", "handbag", "tie", "suitcase"),
    "sports": (
        *("frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"),
        *("skateboard", "surfboard", "tennis racket"),
    ),
    "kitchen": ("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"),
    "food": (
        *("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut"),
        "cake",
    ),
    "furniture": ("chair", "sofa", "potted plant", "bed", "dining table", "toilet"),
    "electronic": ("tv monitor", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    "appliance": ("microwave", "oven", "toaster", "sink", "refrigerator"),
    "indoor": ("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
}
# Words that end a noun phrase, and none that can be part of one.
_END_WORDS: Final = """
is are was were be being been am has have had do does did can will a an the this that these those his her its their my
your our some several many two three four five and or but while as with without in on at by of for from to into onto
over under above below behind beside between near next through across along around against inside outside off up down
out who which whose where when there it he she they sits sit stands stand lies lay rides ride walks walk runs run
flies fly hangs holds hold eats eat wears wear seen
"""
_ENDS: Final = frozenset(_END_WORDS.split())
# Words in -ing and -ed that are things, or say what kind of thing; the others are verbs and end a noun phrase.
_NOUN_WORDS: Final = """
building ceiling railing painting wedding clothing ring wing king string swing thing spring frosting icing topping
stuffing dressing awning crossing landing lighting living dining parking bed red shed sled seed weed breed striped
colored coloured painted tiled checkered
"""
_NOUNS: Final = frozenset(_NOUN_WORDS.split())
_COLORLESS: Final = frozenset(("and", "or", "&", "-"))
_MOST_WORDS: Final = 3
_WORD: Final = re.compile(r"[\w'-]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class KeywordCaption:
    """A caption with its keyword.

    Attributes:
        text: The caption as written.
        keyword: The keyword in the concept's spelling.
        start: Where it starts in the caption, in characters.
        end: Where it ends.
        replacements: What may take its place.
        mask_prompt: The object that the caption says it of: the suggested masking prompt.
    """

    text: str
    keyword: str
    start: int
    end: int
    replacements: tuple[str, ...]
    mask_prompt: str

    def exchanged(self, replacement: str) -> str:
        """The caption with the keyword exchanged, the suggested inpainting prompt and new caption.

        An article before it is made to fit, which the benchmark's negatives leave as it is: people write these.

        Examples:
            >>> from clipbench.concepts import load_concept
            >>> keyword_caption(load_concept("color"), "A white cat.").exchanged("orange")
            'An orange cat.'
        """
        before = fit_article(self.text[: self.start], replacement)
        return without_controls(before + replacement + self.text[self.end :])


def keyword_caption(concept: Concept, caption: str) -> KeywordCaption:
    """A caption's leftmost keyword and what it is said of.

    Raises:
        DataError: It holds no keyword; a set has no such captions.
    """
    found = concept.variants(caption)
    if found is None:
        raise DataError(f"{caption[:80]!r}: no keyword of {concept.name}")
    is_name = any(found.keyword in names for names in SUPERCATEGORIES.values()) and concept.name != "color"
    thing = found.keyword if is_name else described(caption, found.start, found.end)
    return KeywordCaption(caption, found.keyword, found.start, found.end, found.replacements, thing)


def described(caption: str, start: int, end: int) -> str:
    """What an adjective in a caption describes: the noun phrase after it, or before it where it follows a verb.

    Examples:
        >>> described("A black and white cat sitting on a sofa.", 2, 7)
        'cat'
        >>> described("The big double decker bus is red.", 29, 32)
        'big double decker bus'

    Returns:
        A few words; the adjective itself if nothing else is there.
    """
    after = _phrase(_WORD.findall(caption[end:]))
    if after:
        return " ".join(after)
    before = _WORD.findall(caption[:start])
    while before and before[-1].lower() in _ENDS:
        before.pop()
    phrase: list[str] = []
    while before and not _ends(before[-1]) and len(phrase) <= _MOST_WORDS:
        phrase.insert(0, before.pop())
    return " ".join(phrase) or caption[start:end]


def paintable(concept: Concept, names: Sequence[str] | None = None) -> Concept:
    """The concept with the replacements that are painted: an object becomes another one of its COCO super-category.

    Args:
        concept: As captions are ranked with.
        names: The only objects that can be painted; None for any.

    Raises:
        ConfigError: Nothing of it can be painted.
    """
    if concept.name == "location":
        raise ConfigError("concept location: places cannot be repainted: give object, color, size, or a YAML file")
    table = dict(concept.replacements)
    if concept.name == "object":
        family = {name: group for group in SUPERCATEGORIES.values() for name in group}
        table = {word: tuple(o for o in others if o in family.get(word, ())) for word, others in table.items()}
        if names is not None:
            table = {word: tuple(o for o in others if o in names) for word, others in table.items() if word in names}
    return Concept(concept.name, {word: others for word, others in table.items() if others})


def suggested_order(replacements: Sequence[str], captions: Sequence[str], seed: int) -> list[str]:
    """Replacements in a random order, those that the captions already mention last.

    Args:
        replacements: The keyword's.
        captions: All captions of the photograph.
        seed: Of the order.
    """
    import random

    mixed = random.Random(seed).sample(list(replacements), len(replacements))  # noqa: S311 (no secret)
    text = " ".join(captions).lower()
    return sorted(mixed, key=lambda word: _count(word, text) > 0)


def fit_article(before: str, word: str) -> str:
    """The text before a word, its last word, if it is an article, made ``a`` or ``an``.

    Examples:
        >>> fit_article("A ", "orange"), fit_article("on an ", "bus"), fit_article("the ", "oven")
        ('An ', 'on a ', 'the ')
    """
    match = re.search(r"(?<![\w'-])([Aa])n?(\s+)$", before)
    if match is None:
        return before
    return before[: match.start()] + match[1] + ("n" if word[:1].lower() in "aeiou" else "") + match[2]


def check_caption(old: str, new: str, keyword: str) -> None:
    """Refuse a caption that does not tell the repainted photograph from the original.

    Raises:
        ConfigError: It is empty, equal to the old one but for case and white space, or still holds the old keyword.
    """
    if not new.strip():
        raise ConfigError("caption: it is empty")
    if _plain(new) == _plain(old):
        raise ConfigError("caption: it is the old one: say what the new picture shows")
    if keyword and _count(keyword, new) >= max(1, _count(keyword, old)):
        raise ConfigError(f"caption: it still says {keyword!r}, which is true of the old picture")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _count(word: str, text: str) -> int:
    words = r"\s+".join(map(re.escape, word.split()))
    return len(re.findall(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))


def _ends(word: str) -> bool:
    low = word.lower()
    verb = low.endswith(("ing", "ed")) and low not in _NOUNS
    return low in _ENDS or verb or not (low[0].isalnum())


def _phrase(words: list[str]) -> list[str]:
    """The words up to the end of the noun phrase that they begin with."""
    from clipbench.concepts import load_concept

    colors = load_concept("color").replacements
    while words and (words[0].lower() in _COLORLESS or words[0].lower() in colors):
        words = words[1:]
    phrase: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        # "a long horned cow": a participle before a noun is part of the phrase; "a bus parked in", a verb, ends it.
        participle = word.lower().endswith("ed") and bool(following) and not _ends(following)
        if (_ends(word) and not participle) or len(phrase) == _MOST_WORDS:
            break
        phrase.append(word)
    return phrase
