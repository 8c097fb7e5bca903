"""How a caption is cleaned before it is tokenized: as the training texts of the model's text tower were.

Libraries differ on the same checkpoint: open_clip fixes and unescapes a text before CLIP's tokenizer sees it, as OpenAI
did, and transformers does not; for SigLIP 2, the former strips punctuation, and the latter lower-cases only if the
files name the right class. So the tower decides, whatever library loads it. A library's own cleaning may follow, but
finds nothing left to do.
"""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping
from typing import Any

import ftfy

from clipbench.errors import ConfigError
from clipbench.models.spec import NATIVE, TEXT_CLEANINGS, TRAINED, ModelSpec

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_STRAIGHT_QUOTES = str.maketrans("“”", '""')


def _mend(text: str) -> str:
    """Undo mojibake, unescape HTML (twice, because OpenAI found it escaped twice), collapse white space."""
    if not (text.isascii() and text.isprintable() and "&" not in text):  # otherwise there is nothing to fix
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split())


def _lower(text: str) -> str:
    return _mend(text).lower()


def _strip_punctuation(text: str) -> str:
    """Big Vision's ``canonicalize_text``."""
    return " ".join(text.replace("_", " ").translate(_PUNCTUATION).lower().split())


def _canonicalize(text: str) -> str:
    return _strip_punctuation(_mend(text))


def _lower_characters(text: str) -> str:
    # One by one, as the tokenizers library does: str.lower() treats a final sigma differently.
    return "".join(character.lower() for character in text)


def _chinese(text: str) -> str:
    return text.lower().translate(_STRAIGHT_QUOTES)


CLEANINGS: Mapping[str, Callable[[str], str]] = {
    "whitespace": _mend,  # open_clip's names and functions, these three
    "lower": _lower,
    "canonicalize": _canonicalize,
    "siglip": _strip_punctuation,
    "siglip2": _lower_characters,
    "chinese_clip": _chinese,
    "none": str,
}
"""Every cleaning by its name in results."""


def requested(request: ModelSpec) -> str:
    """Which cleaning was requested for a model: ``trained`` (the default) or ``native``.

    Raises:
        ConfigError: It is neither.
    """
    wanted = request.text("text_cleaning") or TRAINED
    if wanted not in TEXT_CLEANINGS:
        raise ConfigError(f"text_cleaning={wanted!r}: {TRAINED} (the default) or {NATIVE}")
    return wanted


def cleaning_of_transformers(text_config: Any, tokenizer: Any, *, siglip: bool) -> str:
    """The cleaning that a text tower of transformers was trained with.

    Args:
        text_config: The tower's configuration.
        tokenizer: Its tokenizer.
        siglip: Whether it is SigLIP's tower, of any version.
    """
    if siglip:
        gemma = text_config.model_type.startswith("siglip2") or has_gemma_vocabulary(tokenizer)
        return "siglip2" if gemma else "siglip"
    if has_clip_vocabulary(tokenizer):
        return "lower"
    if text_config.model_type.startswith("metaclip_2"):  # the models with mT5's vocabulary: its end is 1
        return "canonicalize" if tokenizer.eos_token_id == 1 else "whitespace"
    return "chinese_clip" if text_config.model_type.startswith("chinese_clip") else "none"


def cleaning_of_open_clip(tokenizer: Any, pool_type: str | None) -> str | None:
    """The cleaning that a text tower of open_clip was trained with; None for a custom tokenizer.

    Args:
        tokenizer: An open_clip tokenizer.
        pool_type: How the tower is pooled.
    """
    name = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "").removeprefix("_clean_")
    if name == "canonicalize":  # open_clip's cleaning for every SigLIP tower, which Big Vision trained
        if has_gemma_vocabulary(getattr(tokenizer, "tokenizer", None)):
            return "siglip2"
        return "siglip" if pool_type == "last" else name
    return name if name in CLEANINGS else None


def has_clip_vocabulary(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers is CLIP's byte-level BPE, with a mark at the end of each word."""
    return is_clip_backend(getattr(tokenizer, "backend_tokenizer", None))


def is_clip_backend(backend: Any) -> bool:
    """As ``has_clip_vocabulary``, of a tokenizer of the tokenizers library."""
    return getattr(getattr(backend, "model", None), "end_of_word_suffix", None) == "</w>"


def has_gemma_vocabulary(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers is Gemma's, under whatever class: SigLIP 1's ends texts with ``</s>``."""
    return str(getattr(tokenizer, "eos_token", None)) == "<eos>"
