"""Texts to unit features: from the cache, or encoded, common beginnings once where the model can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from clipbench.inference.batching import BatchSize
from clipbench.inference.embedding_cache import CacheHit, EmbeddingCache, text_key
from clipbench.inference.normalization import comparable
from clipbench.inference.profile import Profile
from clipbench.metrics import Floats
from clipbench.models.base import Model, PackedRow, PackedText, Tokens
from clipbench.models.packing import texts_of

_CONTEXT_LENGTH = 77  # CLIP's: what `auto` takes for a text of full length


class TextEncoder:
    """Encodes texts with one model.

    Args:
        model: The model.
        batch_size: Texts a batch, or ``auto``: as many as make up a fixed number of tokens.
        profile: Where the time goes.
        cache: Features of earlier runs.
        prompt: Turns a text into the one that is encoded.

    Attributes:
        truncated: Texts so far that were longer than the model's context and were cut.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int | str,
        profile: Profile,
        cache: EmbeddingCache | None = None,
        prompt: Callable[[str], str] = str,
    ) -> None:
        self.truncated = 0
        self._prompt, self._language = prompt, ""
        self._model, self._profile, self._cache = model, profile, cache
        on_cpu = model.device.type == "cpu"
        self._by_tokens = batch_size == "auto"
        self._batch = BatchSize(batch_size, automatic=(128 if on_cpu else 1024) * _CONTEXT_LENGTH)
        # A row is as long as the context: several texts.
        self._row_batch = BatchSize(batch_size, automatic=16 if on_cpu else 256)

    def use_language(self, language: str) -> None:
        """Encode the next texts in this language, if it makes a difference; see ``Model.use_language``."""
        self._language = self._model.use_language(language)

    def problems(self, texts: Sequence[str]) -> dict[str, str]:
        """The texts that the model cannot read, and why."""
        found = {text: self._model.text_problem(self._prompt(text)) for text in texts}
        return {text: f"{problem} {text[:40]!r}" for text, problem in found.items() if problem}

    def features(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Unit features ``(D,)`` of distinct texts, which are turned into prompts first.

        Raises:
            ModelError: A feature is not finite; names the text.
        """
        prompts = {text: self._prompt(text) for text in texts}
        found = self.prompt_features(list(dict.fromkeys(prompts.values())))
        return {text: found[prompt] for text, prompt in prompts.items()}

    def prompt_features(self, prompts: Sequence[str]) -> dict[str, Floats]:
        """Unit features ``(D,)`` of distinct texts as they are.

        Raises:
            ModelError: A feature is not finite; names the text.
        """
        found = self._hits(prompts)
        self.truncated += sum(one.truncated for one in found.values())
        return {text: one.feature for text, one in found.items()}

    def _hits(self, texts: Sequence[str]) -> dict[str, CacheHit]:
        if self._cache is None:
            return self._encode(texts)
        # Keep the features of a chosen language apart; the default language is part of the model's key.
        keys = {text: text_key(f"{self._language}\0{text}" if self._language else text) for text in texts}
        cached = self._cache.find(list(keys.values()))
        fresh = self._encode([text for text in texts if keys[text] not in cached])
        if fresh:
            rows, truncated = zip(*fresh.values(), strict=True)
            self._cache.add("texts", [keys[text] for text in fresh], np.stack(rows), truncated)
        return {**{text: cached[key] for text, key in keys.items() if key in cached}, **fresh}

    def _encode(self, texts: Sequence[str]) -> dict[str, CacheHit]:
        if not texts:
            return {}
        if self._model.lookup is not None:
            self._profile.count(texts=len(texts))
            return {
                text: CacheHit(row, False) for text, row in zip(texts, self._model.lookup.texts(texts), strict=True)
            }
        packed = self._model.packed_text
        with torch.inference_mode(), self._profile.stage("text tower"):
            return self._encode_plain(texts) if packed is None else self._encode_packed(texts, packed)

    def _encode_plain(self, texts: Sequence[str]) -> dict[str, CacheHit]:
        tokens = self._tokenize(texts)
        lengths = tokens.lengths or (max(1, _count(tokens) // len(texts)),) * len(texts)
        # Texts of like length share a batch, so that little of it is padding where the model trims.
        order = sorted(range(len(texts)), key=texts.__getitem__)
        order.sort(key=lengths.__getitem__, reverse=True)

        def encode(part: Sequence[int]) -> torch.Tensor:
            some = tokens.part(part)
            self._profile.tokens += _count(some)
            return self._model.text_features(some)

        weight = lengths.__getitem__ if self._by_tokens else lambda index: 1
        return self._collect(self._batch.split(order, encode, weight), order, texts, tokens)

    def _encode_packed(self, texts: Sequence[str], packed: PackedText) -> dict[str, CacheHit]:
        def encode(part: Sequence[PackedRow]) -> torch.Tensor:
            self._profile.tokens += len(part) * max(len(row.ids) for row in part)
            return packed.features(part)

        tokens = self._tokenize(texts)
        rows = packed.pack(tokens)
        return self._collect(self._row_batch.split(rows, encode), texts_of(rows), texts, tokens)

    def _collect(
        self, batches: Iterable[torch.Tensor], order: Sequence[int], texts: Sequence[str], tokens: Tokens
    ) -> dict[str, CacheHit]:
        """Features by text, from batches in the given order of the texts."""
        found: dict[str, CacheHit] = {}
        for features in batches:
            part = order[len(found) : len(found) + len(features)]
            names = [texts[index] for index in part]
            units = comparable(features, names, "text {!r}", self._model)
            found.update(zip(names, map(CacheHit, units, [tokens.truncated[index] for index in part]), strict=True))
            self._profile.count(texts=len(part))
        return found

    def _tokenize(self, texts: Sequence[str]) -> Tokens:
        with self._profile.stage("tokenize"):
            return self._model.tokenize(texts)


def _count(tokens: Tokens) -> int:
    """How many tokens there are, padding included."""
    return max((tensor.numel() for tensor in tokens.inputs.values()), default=0)
