"""Negatives by a masked language model: a word of a part of speech is replaced by a likely other one (Doveh et al.)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbench.concepts import Variants
from clipbench.errors import ClipbenchError, ModelError
from clipbench.models.checks import quiet, resolve_device
from clipbench.models.load_errors import explain
from clipbench.training.negatives.tagging import Tagger, Word
from clipbench.training.sampling import epoch_order

_LIKELY = 50  # words that are tried for a place
_WORD_STARTS = ("Ġ", "▁")  # how tokenizers other than wordpiece mark the beginning of a word


class MaskedWords:
    """Replaces a word of a caption by others that a masked language model finds likely.

    Source: Doveh et al., arXiv 2211.11733, §3.2. For each caption one of its words with a wanted part of speech is
    drawn, a function of seed and caption. The word is masked at its place; the k likeliest words that are whole words
    of letters, of the same part of speech there and not of the same lemma are the replacements. A word without any is
    passed over for the next one drawn.

    Args:
        source: Hub id or directory of a masked language model of transformers.
        parts: Parts of speech, see ``PARTS_OF_SPEECH``.
        k: Replacements of a word, at most.
        seed: Decides on the words.
        device: A torch device, or None to choose.

    Raises:
        ConfigError: The tagger is not installed.
        ModelError: The model cannot be loaded, or has no mask.
    """

    def __init__(self, source: str, parts: Sequence[str], k: int, *, seed: int = 0, device: str | None = None) -> None:
        self._tagger, self._parts, self._k, self._seed = Tagger(), frozenset(parts), k, seed
        self._device = resolve_device(device)
        self._model, self._tokenizer = _load(source, self._device)
        vocabulary = self._model.get_output_embeddings().weight.shape[0]
        self._is_word = _whole_words(self._tokenizer, vocabulary).to(self._device)

    def variants(self, captions: Sequence[str], batch_size: int = 64) -> Iterator[Variants | None]:
        """Each caption with its replacements; None if no word could be replaced."""
        for first in range(0, len(captions), batch_size):
            batch = captions[first : first + batch_size]
            words = [self._drawn(caption, first + number) for number, caption in enumerate(batch)]
            found: list[Variants | None] = [None] * len(batch)
            waiting = [number for number, drawn in enumerate(words) if drawn]
            while waiting:
                places = [words[number].pop(0) for number in waiting]
                likely = self._likely([batch[number] for number in waiting], places)
                for number, word, options in zip(waiting, places, likely, strict=True):
                    found[number] = self._replaced(batch[number], word, options)
                waiting = [number for number in waiting if found[number] is None and words[number]]
            yield from found

    def _drawn(self, caption: str, number: int) -> list[Word]:
        """The words that may be replaced, in the order in which they are tried."""
        words = [word for word in self._tagger.words(caption) if word.part in self._parts]
        return [words[place] for place in epoch_order(self._seed, number, len(words))]

    @torch.no_grad()
    def _likely(self, captions: Sequence[str], words: Sequence[Word]) -> list[list[str]]:
        """The likeliest whole words at each place; none where the place is beyond the model's context."""
        mask = self._tokenizer.mask_token
        texts = [text[: word.start] + mask + text[word.end :] for text, word in zip(captions, words, strict=True)]
        # RoBERTa counts positions from 2.
        positions = getattr(self._model.config, "max_position_embeddings", 512) - 2
        limit = min(self._tokenizer.model_max_length, positions)
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        logits: Tensor = self._model(**tokens.to(self._device)).logits
        likely: list[list[str]] = []
        for row, (text, word) in enumerate(zip(captions, words, strict=True)):
            masks = (tokens["input_ids"][row] == self._tokenizer.mask_token_id).nonzero().flatten()
            place = text[: word.start].count(mask)  # a caption may hold the mask's name
            if place >= len(masks):
                likely.append([])
                continue
            scores = logits[row, masks[place]].float().masked_fill(~self._is_word, -torch.inf)
            best = scores.topk(min(_LIKELY, int(self._is_word.sum()))).indices.tolist()
            likely.append([self._tokenizer.decode([number]).strip() for number in best])
        return likely

    def _replaced(self, caption: str, word: Word, options: Sequence[str]) -> Variants | None:
        old = caption[word.start : word.end]
        chosen: dict[str, None] = {}
        for option in options:
            new = option.capitalize() if old[0].isupper() else option.lower()
            if new.lower() == old.lower() or not self._fits(caption, word, new):
                continue
            chosen[new] = None
            if len(chosen) == self._k:
                break
        return Variants(caption, old, word.start, word.end, tuple(chosen)) if chosen else None

    def _fits(self, caption: str, word: Word, new: str) -> bool:
        """Whether the new word, in its place, has the old one's part of speech and another lemma."""
        words = self._tagger.words(caption[: word.start] + new + caption[word.end :])
        there = next((other for other in words if other.start == word.start), None)
        return there is not None and there.part == word.part and there.lemma != word.lemma


def _load(source: str, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(source)
            model: Any = AutoModelForMaskedLM.from_pretrained(source).eval().to(device)
    except ClipbenchError:
        raise
    except Exception as error:  # transformers, the hub client and safetensors raise what they like
        raise explain(error, source, files="config.json, model.safetensors and the tokenizer files") from error
    if tokenizer.mask_token is None:
        raise ModelError(f"{Path(source).name}: its tokenizer has no mask: name a masked language model")
    return model, tokenizer


def _whole_words(tokenizer: Any, size: int) -> Tensor:
    """``(vocabulary,)``: whether a token is a whole word of letters, from its beginning."""
    vocabulary = tokenizer.get_vocab()
    marked = any(token.startswith(_WORD_STARTS) for token in vocabulary)
    special = set(tokenizer.all_special_tokens)
    words = np.zeros(size, dtype=bool)
    for token, number in vocabulary.items():
        bare = token[1:] if marked and token.startswith(_WORD_STARTS) else token
        begins = token.startswith(_WORD_STARTS) if marked else not token.startswith("##")
        words[number] = begins and token not in special and bare.isalpha() and len(bare) > 1
    return torch.from_numpy(words)
