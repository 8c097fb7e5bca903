"""Images to unit features: decoded ahead in threads, encoded once, and kept for the tasks that ask again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch

from clipbench.errors import DataError
from clipbench.inference.batching import BatchSize
from clipbench.inference.embedding_cache import EmbeddingCache, image_key
from clipbench.inference.normalization import l2_normalize
from clipbench.inference.profile import Profile
from clipbench.metrics import Floats
from clipbench.models.base import Model
from clipbench.types import ImageRef

KEPT_IMAGES = 200_000  # features of images that later tasks of the run ask for again: 400 MB at 512 dimensions
RECENT_IMAGES = 8192  # where none will: captions of one image mostly stand together
_TOGETHER = 4  # images that a thread takes at once: handing over costs as much as comparing an image with its captions


class Prepared(NamedTuple):
    """An image that is ready: its pixels, or its unit feature from the cache. ``key`` is the cache's, if it has one."""

    key: bytes | None
    pixels: torch.Tensor
    feature: Floats | None = None


Pending = dict[str, Future[dict[str, Prepared | DataError]]]

Kept = OrderedDict[tuple[str, str], Floats | DataError]
"""Unit features by namespace and key, the least recently used first."""


class ImageEncoder:
    """Encodes images with one model.

    Args:
        model: The model.
        batch_size: Images a batch, or ``auto``.
        workers: Threads that decode and preprocess ahead.
        profile: Where the time goes.
        cache: Features of earlier runs.
        features: Features of a model with the same image tower, which are used and added to.

    Attributes:
        kept: How many images' features are kept.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int | str,
        workers: int,
        profile: Profile,
        cache: EmbeddingCache | None = None,
        features: Kept | None = None,
    ) -> None:
        self.kept = KEPT_IMAGES
        self._model, self._profile, self._cache = model, profile, cache
        # On a CPU larger batches gain images nothing.
        self._batch = BatchSize(batch_size, automatic=64 if model.device.type == "cpu" else 1024)
        self._workers = max(1, workers)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        self._features: Kept = OrderedDict() if features is None else features

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def decode_ahead(self, refs: dict[str, ImageRef], namespace: str, waiting: Pending) -> Pending:
        """Start decoding images whose features are neither there nor on their way.

        Args:
            refs: The images by key.
            namespace: What keys are unique in.
            waiting: Images that were started before and will be encoded before these.
        """
        fresh = []
        for key, ref in refs.items():
            if (namespace, key) in self._features:
                self._features.move_to_end((namespace, key))  # it must outlive the images in between
            elif key not in waiting:
                fresh.append(ref)
        pending: Pending = {}
        size = min(_TOGETHER, -(-len(fresh) // self._workers)) or 1  # few images are dealt out evenly
        for start in range(0, len(fresh), size):
            some = fresh[start : start + size]
            pending |= dict.fromkeys([ref.key for ref in some], self._pool.submit(self._prepare, some))
        return pending

    def _prepare(self, refs: Sequence[ImageRef]) -> dict[str, Prepared | DataError]:
        done: dict[str, Prepared | DataError] = {}
        with self._profile.beside("decode"):
            for ref in refs:
                try:
                    done[ref.key] = self._prepared(ref)
                except DataError as error:
                    done[ref.key] = error
                except Exception:
                    raise
                except BaseException as error:  # SystemExit in a plugin's reader would end the run without a word
                    raise RuntimeError(f"image {ref.key}: the thread that decodes it died: {error!r}") from None
        return done

    def _prepared(self, ref: ImageRef) -> Prepared:
        key = None
        if self._cache is not None and ref.content is not None:
            with suppress(DataError):  # opening it says what is wrong, as it does without a cache
                key = image_key(ref.content())
            found = self._cache.find([key]) if key else {}
            if key in found:
                return Prepared(key, torch.empty(0), found[key].feature)
        return Prepared(key, self._model.preprocess(ref.open()))

    def features(self, pending: Pending, namespace: str, keys: Sequence[str]) -> dict[str, Floats | DataError]:
        """Encode what is pending.

        Args:
            pending: From :meth:`decode_ahead`; it is emptied.
            namespace: As there.
            keys: The images that are wanted: pending ones, and others that were encoded lately.

        Returns:
            By key the unit feature ``(D,)``, or what is wrong with the image.

        Raises:
            ModelError: A feature is not finite; names the image.
        """
        waiting = list(pending.items())
        fresh: dict[bytes, Floats] = {}
        while waiting:
            batch, waiting = waiting[: self._batch.size], waiting[self._batch.size :]
            good: list[tuple[str, Prepared]] = []
            with self._profile.stage("wait for images"):
                for key, future in batch:
                    ready = future.result().pop(key)
                    if isinstance(ready, DataError):
                        self._features[namespace, key] = ready
                    elif ready.feature is None:
                        good.append((key, ready))
                    else:
                        self._features[namespace, key] = ready.feature
                    del pending[key]  # lets the pixels go
            fresh.update(self._encode(good, namespace))
        if self._cache is not None and fresh:
            self._cache.add("images", list(fresh), np.stack(list(fresh.values())), [False] * len(fresh))
        found = {key: self._features[namespace, key] for key in keys}
        for key in found:
            self._features.move_to_end((namespace, key))
        while len(self._features) > self.kept:
            self._features.popitem(last=False)
        return found

    def _encode(self, good: Sequence[tuple[str, Prepared]], namespace: str) -> dict[bytes, Floats]:
        """Encode images and keep their features; returns those that the cache may have, by its keys."""
        fresh: dict[bytes, Floats] = {}

        def encode(part: Sequence[tuple[str, Prepared]]) -> torch.Tensor:
            return self._model.image_features(torch.stack([ready.pixels for _, ready in part]))

        with torch.inference_mode(), self._profile.stage("image tower"):
            done = 0
            for features in self._batch.split(good, encode):
                part = good[done : done + len(features)]
                units = l2_normalize(features, [key for key, _ in part], "image {}", self._model.id)
                for (key, ready), unit in zip(part, units, strict=True):
                    self._features[namespace, key] = unit
                    if ready.key is not None:
                        fresh[ready.key] = unit
                done += len(features)
        self._profile.images += len(good)
        return fresh
