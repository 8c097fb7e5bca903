"""The engine: distinct images and texts of a chunk of samples, encoded once, and compared in fp32."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from types import TracebackType

import numpy as np
import torch

from clipbench.errors import DataError, ModelError
from clipbench.metrics import Floats, cosines
from clipbench.models.model import Model, Tokens
from clipbench.models.packing import texts_of
from clipbench.samples import ImageRef, Sample, Unscored
from clipbench.scoring.batching import BatchSize

_CHUNK_TEXTS = 4096  # enough to sort by length and to find repeats, little enough to report progress
_CHUNK_IMAGES = 256  # decoded pixels of two chunks are in memory at once: 600 kB each at 224 pixels
_KEPT_IMAGES = 200_000  # features of images that later tasks of the run ask for again: 400 MB at 512 dimensions


@dataclass(frozen=True, slots=True)
class Scored:
    """A sample and its similarities, or why there are none.

    Attributes:
        sample: The sample.
        similarities: Cosines, ``(images, texts)`` float32; or, where an image cannot be read, which and why.
    """

    sample: Sample
    similarities: Floats | Unscored


class Scorer:
    """Scores samples with one model; features of images are kept between tasks.

    Args:
        model: The model.
        batch_size: Items a batch, or ``auto``.
        workers: Threads that decode and preprocess images ahead.

    Use as a context manager: leaving it ends the threads.
    """

    def __init__(self, model: Model, batch_size: int | str = "auto", workers: int = 2) -> None:
        self.model = model
        on_cpu = model.device.type == "cpu"
        # On a CPU larger batches gain images nothing, and texts, which are shorter, a good deal.
        self.image_batch = BatchSize(batch_size, automatic=64 if on_cpu else 1024)
        self.text_batch = BatchSize(batch_size, automatic=256 if on_cpu else 1024)
        # A row is as long as the context: several texts.
        self.row_batch = BatchSize(batch_size, automatic=16 if on_cpu else 256)
        self.truncated_texts = 0
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
        self._images: OrderedDict[tuple[str, str], Floats | DataError] = OrderedDict()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def similarities(self, samples: Iterable[Sample], namespace: str) -> Iterator[Scored]:
        """Compare each sample's images with its texts.

        Args:
            samples: Samples, consumed a chunk ahead.
            namespace: What image keys are unique in: the dataset's fingerprint.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
        """
        for chunk, pending in self._read_ahead(samples, namespace):
            images = self._image_features(pending, namespace, [ref for s in chunk for ref in s.images])
            texts = self._text_features(list(dict.fromkeys(chain.from_iterable(s.texts for s in chunk))))
            for sample in chunk:
                rows: list[Floats] = []
                for ref in sample.images:
                    feature = images[ref.key]
                    if isinstance(feature, DataError):
                        yield Scored(sample, Unscored(sample.id, ref.key, str(feature)))
                        break
                    rows.append(feature)
                else:
                    columns = np.stack([texts[text] for text in sample.texts])
                    yield Scored(sample, cosines(np.stack(rows), columns))

    def features(
        self, samples: Iterable[Sample], namespace: str
    ) -> Iterator[tuple[Sample, Floats | DataError, Floats]]:
        """Encode each sample's single image and all its texts.

        Yields:
            The sample, its image's unit feature ``(D,)`` or what is wrong with the image, and its texts'
            unit features ``(texts, D)``, all float32.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
        """
        for chunk, pending in self._read_ahead(samples, namespace):
            images = self._image_features(pending, namespace, [s.images[0] for s in chunk])
            texts = self._text_features(list(dict.fromkeys(chain.from_iterable(s.texts for s in chunk))))
            for sample in chunk:
                yield sample, images[sample.images[0].key], np.stack([texts[text] for text in sample.texts])

    def _read_ahead(
        self, samples: Iterable[Sample], namespace: str
    ) -> Iterator[tuple[list[Sample], dict[str, Future[torch.Tensor]]]]:
        """Yield chunks while the next one's images are being decoded."""
        ready: tuple[list[Sample], dict[str, Future[torch.Tensor]]] | None = None
        for chunk in _chunks(samples):
            refs = {ref.key: ref for sample in chunk for ref in sample.images}
            waiting = ready[1] if ready else {}
            pending = {}
            for key, ref in refs.items():
                if (namespace, key) in self._images:
                    self._images.move_to_end((namespace, key))  # it must outlive the chunk before
                elif key not in waiting:
                    pending[key] = self._pool.submit(self._pixels, ref)
            if ready:
                yield ready
            ready = (chunk, pending)
        if ready:
            yield ready

    def _pixels(self, ref: ImageRef) -> torch.Tensor:
        return self.model.preprocess(ref.open())

    def _image_features(
        self, pending: dict[str, Future[torch.Tensor]], namespace: str, refs: Sequence[ImageRef]
    ) -> dict[str, Floats | DataError]:
        """Encode the images that are new, and return the unit features of all, by key."""
        waiting = list(pending.items())
        while waiting:
            batch, waiting = waiting[: self.image_batch.size], waiting[self.image_batch.size :]
            good: list[tuple[str, torch.Tensor]] = []
            for key, future in batch:
                try:
                    good.append((key, future.result()))
                except DataError as error:
                    self._images[namespace, key] = error
                del pending[key]  # lets the pixels go
            self._keep_features(good, namespace)
        found = {ref.key: self._images[namespace, ref.key] for ref in refs}
        for key in found:
            self._images.move_to_end((namespace, key))
        while len(self._images) > _KEPT_IMAGES:
            self._images.popitem(last=False)
        return found

    def _keep_features(self, good: Sequence[tuple[str, torch.Tensor]], namespace: str) -> None:
        def encode(part: Sequence[tuple[str, torch.Tensor]]) -> torch.Tensor:
            return self.model.image_features(torch.stack([pixels for _, pixels in part]))

        with torch.inference_mode():
            done = 0
            for features in self.image_batch.split(good, encode):
                names = [f"image {key}" for key, _ in good[done : done + len(features)]]
                for (key, _), unit in zip(good[done:], self._unit(features, names), strict=False):
                    self._images[namespace, key] = unit
                done += len(features)

    def _text_features(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Encode distinct texts and return their unit features."""
        if self.model.packs and texts:
            return self._packed_text_features(texts)
        # Texts of like length share a batch, so that little of it is padding where the model trims.
        ordered = sorted(texts, key=lambda text: (len(text), text))
        tokens = Tokens({}, ())

        def encode(part: Sequence[str]) -> torch.Tensor:
            nonlocal tokens
            tokens = self.model.tokenize(part)
            return self.model.text_features(tokens)

        units: dict[str, Floats] = {}
        with torch.inference_mode():
            for features in self.text_batch.split(ordered, encode):
                self.truncated_texts += sum(tokens.truncated)
                names = ordered[len(units) : len(units) + len(features)]
                units.update(zip(names, self._unit(features, [f"text {name!r}" for name in names]), strict=True))
        return units

    def _packed_text_features(self, texts: Sequence[str]) -> dict[str, Floats]:
        """As :meth:`_text_features`, common beginnings of texts encoded once."""
        tokens = self.model.tokenize(texts)
        self.truncated_texts += sum(tokens.truncated)
        rows = self.model.pack(tokens)
        ordered = [texts[index] for index in texts_of(rows)]
        units: dict[str, Floats] = {}
        with torch.inference_mode():
            for features in self.row_batch.split(rows, self.model.packed_text_features):
                names = ordered[len(units) : len(units) + len(features)]
                units.update(zip(names, self._unit(features, [f"text {name!r}" for name in names]), strict=True))
        return units

    def _unit(self, features: torch.Tensor, names: Sequence[str]) -> Floats:
        """L2-normalise in fp32, whatever precision the encoder ran in."""
        rows = features.float()
        norms = rows.norm(dim=-1, keepdim=True)
        usable = (torch.isfinite(norms) & (norms > 0)).squeeze(-1)
        if not bool(usable.all()):
            bad = names[int((~usable).nonzero()[0])]
            raise ModelError(f"{self.model.id}: the feature of {bad} is not finite or is zero")
        units: Floats = (rows / norms).cpu().numpy()
        return units


def _chunks(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    texts = images = 0
    for sample in samples:
        chunk.append(sample)
        texts += len(sample.texts)
        images += len(sample.images)
        if texts >= _CHUNK_TEXTS or images >= _CHUNK_IMAGES:
            yield chunk
            chunk, texts, images = [], 0, 0
    if chunk:
        yield chunk
