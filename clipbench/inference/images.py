"""Images to unit features: decoded ahead in threads, encoded once, and kept for later tasks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
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

SHARED_IMAGES = 200_000  # features kept where later tasks use the same images: 400 MB at 512 dimensions
RECENT_IMAGES = 5_000  # otherwise, and COCO val2017 has as many: captions of one image are mostly adjacent
_UNSEEN = bytes(16)  # content key of images that the model does not open
_IMAGES_PER_JOB = 4  # a hand-over to a thread costs as much as comparing an image with its captions


class DecodedImage(NamedTuple):
    """An image's pixels, preprocessed for the model, and the key of its content, if requested and known."""

    pixels: torch.Tensor
    key: bytes | None


class EncodedImage(NamedTuple):
    """An image's unit feature ``(D,)``, and the key of its content, if requested and known."""

    feature: Floats
    key: bytes | None


ImageInput = DecodedImage | EncodedImage | DataError
"""What a thread returns for an image: its pixels, its feature from the cache, or what is wrong with it."""

PendingImages = dict[str, Future[dict[str, ImageInput]]]

ImageFeatures = OrderedDict[tuple[str, str], EncodedImage | DataError]
"""Unit features by namespace and key, the least recently used first."""


class ImageEncoder:
    """Encodes images with one model.

    Args:
        model: The model.
        batch_size: Images a batch, or ``auto``.
        workers: Threads that decode and preprocess ahead.
        profile: Where the time goes.
        cache: Features of earlier runs.
        features: Features of a model with the same image encoder, which are used and added to.
        identify: Also find the keys of the images' contents, as a cache needs them: files are read once more.

    Attributes:
        capacity: How many images' features are kept.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int | str,
        workers: int,
        profile: Profile,
        cache: EmbeddingCache | None = None,
        features: ImageFeatures | None = None,
        *,
        identify: bool = False,
    ) -> None:
        self.capacity = SHARED_IMAGES
        self._identify = identify or cache is not None
        self._model, self._profile, self._cache = model, profile, cache
        # On a CPU larger batches gain images nothing.
        self._batch = BatchSize(batch_size, automatic=64 if model.device.type == "cpu" else 1024)
        self._workers = max(1, workers)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        self._features: ImageFeatures = OrderedDict() if features is None else features

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def decode_ahead(self, refs: dict[str, ImageRef], namespace: str, waiting: PendingImages) -> PendingImages:
        """Start decoding images whose features are neither known nor pending.

        Args:
            refs: The images by key.
            namespace: What keys are unique in.
            waiting: Images that are pending already and will be encoded before these.
        """
        fresh = []
        for key, ref in refs.items():
            if (namespace, key) in self._features:
                self._features.move_to_end((namespace, key))  # it must outlive the images in between
            elif key not in waiting:
                fresh.append(ref)
        pending: PendingImages = {}
        size = min(_IMAGES_PER_JOB, -(-len(fresh) // self._workers)) or 1  # few images are spread evenly
        for start in range(0, len(fresh), size):
            some = fresh[start : start + size]
            pending |= dict.fromkeys([ref.key for ref in some], self._pool.submit(self._decode_all, some))
        return pending

    def _decode_all(self, refs: Sequence[ImageRef]) -> dict[str, ImageInput]:
        done: dict[str, ImageInput] = {}
        with self._profile.thread_stage("decode"):
            for ref in refs:
                try:
                    done[ref.key] = self._decode(ref)
                except DataError as error:
                    done[ref.key] = error
                except Exception:
                    raise
                except BaseException as error:  # SystemExit in a plugin's reader would end the run without a word
                    raise RuntimeError(f"image {ref.key}: the thread that decodes it died: {error!r}") from None
        return done

    def _decode(self, ref: ImageRef) -> DecodedImage | EncodedImage:
        if self._model.text_only:
            return EncodedImage(np.ones(1, dtype=np.float32), _UNSEEN)
        if self._model.lookup is not None:
            return EncodedImage(self._model.lookup.image(ref.key), _UNSEEN)
        key = _content_key(ref) if self._identify else None
        if self._cache is not None and key is not None:
            found = self._cache.find([key])
            if key in found:
                return EncodedImage(found[key].feature, key)
        return DecodedImage(self._model.preprocess(ref.open()), key)

    def content_keys(self, refs: Iterable[ImageRef]) -> list[bytes | None]:
        """The key of each image's content; None if it cannot be identified or read."""
        return list(self._pool.map(_content_key, refs)) if self._model.opens_images else [_UNSEEN for _ in refs]

    def reasons(self, refs: Iterable[ImageRef]) -> list[str | None]:
        """What is wrong with each image when it is opened now; None if it can be read."""
        return list(self._pool.map(_reason, refs))

    def features(
        self, pending: PendingImages, namespace: str, keys: Sequence[str]
    ) -> dict[str, EncodedImage | DataError]:
        """Encode what is pending.

        Args:
            pending: From ``decode_ahead``; it is emptied.
            namespace: As there.
            keys: The images to return: pending ones, and others that were encoded recently.

        Returns:
            By key the encoded image, or what is wrong with it.

        Raises:
            ModelError: A feature is not finite; names the image.
        """
        waiting = list(pending.items())
        fresh: dict[bytes, Floats] = {}
        while waiting:
            batch, waiting = waiting[: self._batch.size], waiting[self._batch.size :]
            decoded: list[tuple[str, DecodedImage]] = []
            with self._profile.stage("wait for images"):
                for key, future in batch:
                    ready = future.result().pop(key)
                    if isinstance(ready, DecodedImage):
                        decoded.append((key, ready))
                    else:
                        self._features[namespace, key] = ready
                    del pending[key]  # lets the pixels go
            fresh.update(self._encode(decoded, namespace))
        if self._cache is not None and fresh:
            self._cache.add("images", list(fresh), np.stack(list(fresh.values())), [False] * len(fresh))
        found = {key: self._features[namespace, key] for key in keys}
        for key in found:
            self._features.move_to_end((namespace, key))
        while len(self._features) > self.capacity:
            self._features.popitem(last=False)
        return found

    def _encode(self, decoded: Sequence[tuple[str, DecodedImage]], namespace: str) -> dict[bytes, Floats]:
        """Encode images and keep their features; returns those that can be cached, by the cache's keys."""
        fresh: dict[bytes, Floats] = {}

        def encode(part: Sequence[tuple[str, DecodedImage]]) -> torch.Tensor:
            return self._model.image_features(self._model.collate([ready.pixels for _, ready in part]))

        with torch.inference_mode(), self._profile.stage("image tower"):
            done = 0
            for features in self._batch.split(decoded, encode):
                part = decoded[done : done + len(features)]
                units = l2_normalize(features, [key for key, _ in part], "image {}", self._model.id)
                for (key, ready), unit in zip(part, units, strict=True):
                    self._features[namespace, key] = EncodedImage(unit, ready.key)
                    if ready.key is not None:
                        fresh[ready.key] = unit
                done += len(features)
                self._profile.count(images=len(features))
        return fresh


def _content_key(ref: ImageRef) -> bytes | None:
    with suppress(DataError):  # opening it will raise the error
        return image_key(ref.content()) if ref.content is not None else None
    return None


def _reason(ref: ImageRef) -> str | None:
    try:
        ref.open()
    except DataError as error:
        return str(error)
    return None
