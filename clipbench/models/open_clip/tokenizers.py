"""The tokenizer of an open_clip checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from clipbench.errors import ModelError
from clipbench.models.hf_checks import check_vocabulary

_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def has_tokenizer(directory: Path) -> bool:
    """Whether a checkpoint's folder holds a tokenizer of transformers."""
    return any((directory / file).is_file() for file in _FILES)


def load_tokenizer(config: dict[str, Any], directory: Path | None, source: str) -> Any:
    """Like ``open_clip.get_tokenizer``, but without the hub if the directory has the tokenizer.

    Args:
        config: The ``model_cfg``.
        directory: The checkpoint's folder, if it has one.
        source: The checkpoint, for messages.

    Raises:
        ModelError: It has tokens that the text tower has no embedding for.
    """
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = copy.deepcopy(config.get("text_cfg", {}))
    options = dict(text.get("tokenizer_kwargs") or {})
    options["context_length"] = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    name = text.get("hf_tokenizer_name")
    rows = None if "hf_model_name" in text else int(text.get("vocab_size", 49408))
    if not name:
        simple = SimpleTokenizer(**options)
        if rows is not None and len(simple.encoder) > rows:
            raise ModelError(
                f"{source}: an embedding for {rows:,} tokens needs a tokenizer: name it (hf_tokenizer_name)"
            )
        return simple
    if directory is not None and has_tokenizer(directory):
        name = str(directory)
    tokenizer = HFTokenizer(name, tokenizer_mode=text.get("tokenizer_mode"), trust_remote_code=False, **options)
    check_vocabulary(source, tokenizer.tokenizer, rows)
    return tokenizer
