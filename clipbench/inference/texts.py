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

_Encoded = tuple[Floats, Sequence[bool]]
"""Unit features ``(M, D)`` of some texts, and for each whether it was cut to the model's context."""

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
        problem, prompt = self._model.text_problem, self._prompt
        return {text: f"{found} {text[:40]!r}" for text in texts if (found := problem(prompt(text)))}

    def features(self, texts: Sequence[str]) -> Floats:
        """Unit features ``(M, D)`` of distinct texts, which are turned into prompts first.

        Raises:
            ModelError: A feature is not finite; names the text.
        """
        prompts = list(map(self._prompt, texts))
        distinct = list(dict.fromkeys(prompts))
        found = self.prompt_features(distinct)
        if len(distinct) == len(prompts):
            return found
        places = {prompt: place for place, prompt in enumerate(distinct)}
        return found[[places[prompt] for prompt in prompts]]

    def prompt_features(self, prompts: Sequence[str]) -> Floats:
        """Unit features ``(M, D)`` of distinct texts as they are.

        Raises:
            ModelError: A feature is not finite; names the text.
        """
        if not prompts:
            return np.empty((0, 0), np.float32)
        features, truncated = self._encode(prompts) if self._cache is None else self._cached(prompts, self._cache)
        self.truncated += int(np.count_nonzero(truncated))
        return features

    def _cached(self, texts: Sequence[str], cache: EmbeddingCache) -> _Encoded:
        """From the cache, or encoded and added to it."""
        # Keep the features of a chosen language apart; the default language is part of the model's key.
        keys = [text_key(f"{self._language}\0{text}" if self._language else text) for text in texts]
        known = cache.find(keys)
        fresh = [place for place, key in enumerate(keys) if key not in known]
        hits = {place: known[key] for place, key in enumerate(keys) if key in known}
        if fresh:
            rows, cut = self._encode([texts[place] for place in fresh])
            cache.add("texts", [keys[place] for place in fresh], rows, cut)
            hits.update(zip(fresh, map(CacheHit, rows, cut), strict=True))
        found = [hits[place] for place in range(len(texts))]
        return np.stack([one.feature for one in found]), [one.truncated for one in found]

    def _encode(self, texts: Sequence[str]) -> _Encoded:
        if self._model.lookup is not None:
            self._profile.count(texts=len(texts))
            return self._model.lookup.texts(texts), [False] * len(texts)
        packed = self._model.packed_text
        with torch.inference_mode(), self._profile.stage("text tower"):
            return self._encode_plain(texts) if packed is None else self._encode_packed(texts, packed)

    def _encode_plain(self, texts: Sequence[str]) -> _Encoded:
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

    def _encode_packed(self, texts: Sequence[str], packed: PackedText) -> _Encoded:
        def encode(part: Sequence[PackedRow]) -> torch.Tensor:
            self._profile.tokens += len(part) * max(len(row.ids) for row in part)
            return packed.features(part)

        tokens = self._tokenize(texts)
        rows = packed.pack(tokens)
        return self._collect(self._row_batch.split(rows, encode), texts_of(rows), texts, tokens)

    def _collect(
        self, batches: Iterable[torch.Tensor], order: Sequence[int], texts: Sequence[str], tokens: Tokens
    ) -> _Encoded:
        """Unit features in the order of the texts, from batches that take them in another order."""
        found, done = np.empty((0, 0), np.float32), 0
        for features in batches:
            part = order[done : done + len(features)]
            units = comparable(features, [texts[place] for place in part], "text {!r}", self._model)
            if not done:
                found = np.empty((len(texts), units.shape[1]), np.float32)
            found[list(part)] = units
            done += len(part)
            self._profile.count(texts=len(part))
        return found, tokens.truncated

    def _tokenize(self, texts: Sequence[str]) -> Tokens:
        with self._profile.stage("tokenize"):
            return self._model.tokenize(texts)


def _count(tokens: Tokens) -> int:
    """How many tokens there are, padding included."""
    return max((tensor.numel() for tensor in tokens.inputs.values()), default=0)
