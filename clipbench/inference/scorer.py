"""The engine: distinct images and texts of a chunk of samples, encoded once, and compared in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from types import TracebackType
from typing import Literal

import numpy as np

from clipbench.errors import DataError
from clipbench.inference.chunks import ChunkGroup, ChunkScores, Item, chunk_groups
from clipbench.inference.embedding_cache import EmbeddingCache
from clipbench.inference.images import RECENT_IMAGES, SHARED_IMAGES, ImageEncoder, ImageFeatures, PendingImages
from clipbench.inference.journal import Journal
from clipbench.inference.profile import Profile
from clipbench.inference.texts import TextEncoder
from clipbench.metrics import Floats, cosine_similarity
from clipbench.models.base import Model
from clipbench.types import Sample, SampleError
from clipbench.utils.distributed import Processes

Output = Literal["similarities", "features"]


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """A sample and its similarities, or why there are none.

    Attributes:
        sample: The sample.
        similarities: Cosines, ``(images, texts)`` float32; or why an image cannot be read.
    """

    sample: Sample
    similarities: Floats | SampleError


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A sample and its features, or why there are none.

    Attributes:
        sample: The sample, of one image.
        features: Unit rows ``(1 + texts, D)`` float32, the image's first; or why the image cannot be read.
    """

    sample: Sample
    features: Floats | SampleError


class Scorer:
    """Scores samples with one model; features of images are kept between tasks.

    Args:
        model: The model.
        batch_size: Items a batch, or ``auto``.
        workers: Threads that decode and preprocess images ahead.
        cache: Features of earlier runs; what is encoded is added to it after each chunk.
        processes: Those that share the work. Each scores its own chunks, and yields the scores of all.
        journal: The chunks scored before the run was interrupted, and where new scores go; the main process has it.
        image_features: Image features of a model with the same image encoder, by sources that are still open; they
            are used and added to. The caller vouches for the encoder.

    Attributes:
        model: The model.
        profile: Where the time went.
        truncated_texts: Texts so far that were longer than the model's context and were cut.

    Use as a context manager: leaving it stops the threads.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int | str = "auto",
        workers: int = 2,
        cache: EmbeddingCache | None = None,
        *,
        processes: Processes | None = None,
        journal: Journal | None = None,
        image_features: ImageFeatures | None = None,
    ) -> None:
        self.model = model
        self.profile = Profile()
        self.truncated_texts = 0
        self._images = ImageEncoder(model, batch_size, workers, self.profile, cache, image_features)
        self._texts = TextEncoder(model, batch_size, self.profile, cache)
        self._processes = processes or Processes()
        self._journal = journal
        # All must agree on who does what, and the main process alone has the journal.
        self._known = self._processes.exchange("journal", journal.known if journal else frozenset())[0]
        self._task = ""

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()

    def begin(self, task: str, *, images_return: bool) -> None:
        """Announce a task.

        Args:
            task: The task's name, part of its chunks' keys.
            images_return: A later task uses the same images, so their features are kept.
        """
        self._task = task
        self._images.capacity = SHARED_IMAGES if images_return else RECENT_IMAGES

    def similarities(self, samples: Iterable[Sample], namespace: str) -> Iterator[ScoredSample]:
        """Compare each sample's images with its texts.

        Args:
            samples: Samples, consumed a chunk ahead.
            namespace: What image keys are unique in: an open source of rows.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
            ProcessesError: Another process failed or is lost.
        """
        for sample, item in self._items(samples, namespace, "similarities"):
            yield ScoredSample(sample, item)

    def features(self, samples: Iterable[Sample], namespace: str) -> Iterator[EncodedSample]:
        """Encode each sample's single image and all its texts.

        Args:
            samples: As in ``similarities``.
            namespace: As in ``similarities``.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
            ProcessesError: Another process failed or is lost.
        """
        for sample, item in self._items(samples, namespace, "features"):
            yield EncodedSample(sample, item)

    def _items(self, samples: Iterable[Sample], namespace: str, what: Output) -> Iterator[tuple[Sample, Item]]:
        label = f"{self._task} {what}"
        with self._processes.in_step(label):
            for group, pending in self._read_ahead(samples, namespace, label):
                mine = {}
                if (own := self._own(group)) is not None:
                    mine[own] = self._score(group.chunks[own], pending, namespace, what)
                for chunk, scores in zip(group.chunks, self._exchange(group, label, mine), strict=True):
                    self.truncated_texts += scores.truncated_texts
                    yield from zip(chunk, scores.items, strict=True)

    def _read_ahead(
        self, samples: Iterable[Sample], namespace: str, label: str
    ) -> Iterator[tuple[ChunkGroup, PendingImages]]:
        """Yield groups while the images of the next one's chunk are being decoded."""
        keyed = self._journal is not None or bool(self._known) or self._processes.count > 1
        ahead = chunk_groups(samples, self._processes.count, label, keyed)
        ready: tuple[ChunkGroup, PendingImages] | None = None
        while True:
            with self.profile.stage("read"):
                group = next(ahead, None)
            if group is not None:
                own = self._own(group)
                chunk = [] if own is None else group.chunks[own]
                refs = {ref.key: ref for sample in chunk for ref in sample.images}
                pending = self._images.decode_ahead(refs, namespace, ready[1] if ready else {})
            if ready:
                yield ready
            if group is None:
                return
            ready = group, pending

    def _own(self, group: ChunkGroup) -> int | None:
        """Which of a group's chunks this process scores; None where there is none, or it has been done."""
        rank = self._processes.rank
        return rank if rank < len(group.keys) and group.keys[rank] not in self._known else None

    def _score(self, chunk: list[Sample], pending: PendingImages, namespace: str, what: Output) -> ChunkScores:
        images = self._images.features(pending, namespace, [ref.key for sample in chunk for ref in sample.images])
        before = self._texts.truncated
        sample_texts = [list(sample.texts) for sample in chunk]
        texts = self._texts.features(list(dict.fromkeys(chain.from_iterable(sample_texts))))
        self.profile.texts_asked += sum(map(len, sample_texts))
        items: list[Item] = []
        # Captions of one image mostly stand together, and are compared with it at once.
        for refs, together in groupby(zip(chunk, sample_texts, strict=True), key=lambda pair: pair[0].images):
            some = list(together)
            broken = next((ref for ref in refs if isinstance(images[ref.key], DataError)), None)
            if broken is not None:
                reason = str(images[broken.key])
                items.extend(SampleError(sample.id, broken.key, reason) for sample, _ in some)
            else:
                rows = np.array([images[ref.key] for ref in refs])
                text_rows = np.array([texts[text] for _, own in some for text in own])
                items.extend(_OUTPUTS[what](rows, text_rows, [len(own) for _, own in some]))
        return ChunkScores(items, self._texts.truncated - before)

    def _exchange(self, group: ChunkGroup, label: str, mine: dict[int, ChunkScores]) -> list[ChunkScores]:
        """The scores of a group's chunks: of this process, of the others, and from the journal."""
        done = {index: key for index, key in enumerate(group.keys) if key in self._known}
        if self._journal is not None:
            mine |= {index: self._journal.read(key) for index, key in done.items()}
        step = f"{label} {group.number} {b''.join(group.keys).hex()}"
        found = {index: scores for part in self._processes.exchange(step, mine) for index, scores in part.items()}
        if self._journal is not None:
            for index, key in enumerate(group.keys):
                if index not in done:
                    self._journal.write(key, found[index])
        return [found[index] for index in range(len(group.chunks))]


def _compare(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    scores = cosine_similarity(images, texts)
    return [scores[:, end - count : end] for count, end in zip(counts, accumulate(counts), strict=True)]


def _stack(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    return [
        np.concatenate([images, texts[end - count : end]])
        for count, end in zip(counts, accumulate(counts), strict=True)
    ]


# From the image rows that some samples share, their text rows, and the number of texts of each, to each one's item.
_OUTPUTS: dict[Output, Callable[[Floats, Floats, list[int]], list[Floats]]] = {
    "similarities": _compare,
    "features": _stack,
}
