"""Fixed inputs that show what a model does: for checks when it is loaded, and for keys of what is cached."""

from __future__ import annotations

import numpy as np
from PIL import Image

TEXTS = (
    "a",
    "a photo of a white cat",
    "two dogs, a red bus and a small brown bird in front of a house with a long wooden fence",
)

PREFIX_TEXTS = (
    "a photo of a white cat on a wooden table",
    "a photo of a traffic light on a wooden table",
    "a photo of a white dog",
    "a",
    "two dogs, a red bus and a small brown bird in front of a house with a long wooden fence",
    "two dogs, a red bus and a small black bird",
    "a photo of a white cat on a wooden table",
    "the red bird",
)
"""Beginnings shared over only the first token, over some, over nearly all; a text within another; a repetition."""

TOKENIZER_TEXTS = (
    "a white cat",
    "two red Cats,  sitting left of a tree!",
    "Größe 12.5 café – ☕ 'x'",
    "Tom &amp; Jerry’s ﬁrst １０ cafÃ©s_(x) <|endoftext|> <end_of_text> </s> <eos> [SEP].",
    "word " * 400,
)
"""Texts on which tokenizers differ: words, case, spaces, non-ASCII characters, names of special tokens, text to be
cleaned, and one longer than any context."""

NOISE_SIZES = ((577, 433), (100, 150))
"""Width and height of images larger and smaller than what models take, one wide and one tall."""


def gray_image() -> Image.Image:
    """An even image, which stays even however it is resized and cropped."""
    return Image.new("RGB", (64, 48), "gray")


def noise_image(width: int, height: int) -> Image.Image:
    """Noise in three channels, the same on every machine and with every library: multiplicative hashing."""
    count = np.arange(width * height * 3, dtype=np.uint64)
    mixed = (count * np.uint64(2654435761)) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    return Image.fromarray((mixed >> np.uint64(24)).astype(np.uint8).reshape(height, width, 3))
