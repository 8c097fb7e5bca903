"""The engine: distinct images and texts of a chunk of samples, encoded once, and compared in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from types import TracebackType

import numpy as np

from clipbench.errors import DataError
from clipbench.inference.chunks import ChunkScores, Turn, turns
from clipbench.inference.embedding_cache import EmbeddingCache
from clipbench.inference.images import KEPT_IMAGES, RECENT_IMAGES, ImageEncoder, Kept, Pending
from clipbench.inference.journal import Journal
from clipbench.inference.profile import Profile
from clipbench.inference.texts import TextEncoder
from clipbench.metrics import Floats, cosine_similarity
from clipbench.models.base import Model
from clipbench.types import Sample, SampleError
from clipbench.utils.distributed import Processes

# From the image rows that some samples share, their text rows, and how many texts each has, to what is wanted of each.
Combine = Callable[[Floats, Floats, list[int]], list[Floats]]


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """A sample and its similarities, or why there are none.

    Attributes:
        sample: The sample.
        similarities: Cosines, ``(images, texts)`` float32; or, where an image cannot be read, which and why.
    """

    sample: Sample
    similarities: Floats | SampleError


class Scorer:
    """Scores samples with one model; features of images are kept between tasks.

    Args:
        model: The model.
        batch_size: Items a batch, or ``auto``.
        workers: Threads that decode and preprocess images ahead.
        cache: Features of earlier runs; what is encoded is added to it after each chunk.
        processes: Those that share the work. Each scores chunks of its own, and yields the scores of all.
        journal: What an earlier sitting of the run has scored, and where this one's scores go; the main process's.
        image_features: Features of a model with the same image tower, by sources that are still open; they are used
            and added to. That the towers are the same is the caller's word.

    Attributes:
        model: The model.
        profile: Where the time went.
        truncated_texts: Texts so far that were longer than the model's context and were cut.

    Use as a context manager: leaving it ends the threads.
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
        image_features: Kept | None = None,
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
        """Say what follows.

        Args:
            task: The task's name, which tells its chunks from others'.
            images_return: A later task asks for the same images, so that their features are to be kept.
        """
        self._task = task
        self._images.kept = KEPT_IMAGES if images_return else RECENT_IMAGES

    def similarities(self, samples: Iterable[Sample], namespace: str) -> Iterator[ScoredSample]:
        """Compare each sample's images with its texts.

        Args:
            samples: Samples, consumed a chunk ahead.
            namespace: What image keys are unique in: the dataset's fingerprint.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
            ProcessesError: Another process failed or is lost.
        """
        for sample, found in self._scores(samples, namespace, _compared):
            yield ScoredSample(sample, found)

    def features(
        self, samples: Iterable[Sample], namespace: str
    ) -> Iterator[tuple[Sample, Floats | DataError, Floats]]:
        """Encode each sample's single image and all its texts.

        Yields:
            The sample, its image's unit feature ``(D,)`` or what is wrong with the image, and its texts'
            unit features ``(texts, D)``, all float32; none where the image cannot be read.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
            ProcessesError: Another process failed or is lost.
        """
        for sample, found in self._scores(samples, namespace, _stacked):
            if isinstance(found, SampleError):
                yield sample, DataError(found.reason), np.empty((0, 0), np.float32)
            else:
                yield sample, found[0], found[1:]

    def _scores(
        self, samples: Iterable[Sample], namespace: str, combine: Combine
    ) -> Iterator[tuple[Sample, Floats | SampleError]]:
        label = f"{self._task} {combine.__name__}"
        with self._processes.in_step(label):
            for turn, pending in self._read_ahead(samples, namespace, label):
                mine = {}
                if (own := self._own(turn)) is not None:
                    mine[own] = self._score(turn.chunks[own], pending, namespace, combine)
                for chunk, scores in zip(turn.chunks, self._of_all(turn, label, mine), strict=True):
                    self.truncated_texts += scores.truncated_texts
                    yield from zip(chunk, scores.items, strict=True)

    def _read_ahead(self, samples: Iterable[Sample], namespace: str, label: str) -> Iterator[tuple[Turn, Pending]]:
        """Yield turns while the images of the next one's chunk are being decoded."""
        keyed = self._journal is not None or bool(self._known) or self._processes.count > 1
        ahead = turns(samples, self._processes.count, label, keyed)
        ready: tuple[Turn, Pending] | None = None
        while True:
            with self.profile.stage("read"):
                turn = next(ahead, None)
            if turn is not None:
                own = self._own(turn)
                chunk = [] if own is None else turn.chunks[own]
                refs = {ref.key: ref for sample in chunk for ref in sample.images}
                pending = self._images.decode_ahead(refs, namespace, ready[1] if ready else {})
            if ready:
                yield ready
            if turn is None:
                return
            ready = turn, pending

    def _own(self, turn: Turn) -> int | None:
        """Which of a turn's chunks this process scores; None where there is none, or it has been done."""
        rank = self._processes.rank
        return rank if rank < len(turn.keys) and turn.keys[rank] not in self._known else None

    def _score(self, chunk: list[Sample], pending: Pending, namespace: str, combine: Combine) -> ChunkScores:
        images = self._images.features(pending, namespace, [ref.key for sample in chunk for ref in sample.images])
        before = self._texts.truncated
        asked = [list(sample.texts) for sample in chunk]
        texts = self._texts.features(list(dict.fromkeys(chain.from_iterable(asked))))
        self.profile.texts_asked += sum(map(len, asked))
        items: list[Floats | SampleError] = []
        # Captions of one image mostly stand together, and are compared with it at once.
        for refs, together in groupby(zip(chunk, asked, strict=True), key=lambda pair: pair[0].images):
            some = list(together)
            broken = next((ref for ref in refs if isinstance(images[ref.key], DataError)), None)
            if broken is not None:
                reason = str(images[broken.key])
                items.extend(SampleError(sample.id, broken.key, reason) for sample, _ in some)
            else:
                rows = np.array([images[ref.key] for ref in refs])
                words = np.array([texts[text] for _, wanted in some for text in wanted])
                items.extend(combine(rows, words, [len(wanted) for _, wanted in some]))
        return ChunkScores(items, self._texts.truncated - before)

    def _of_all(self, turn: Turn, label: str, mine: dict[int, ChunkScores]) -> list[ChunkScores]:
        """The scores of a turn's chunks: of this process, of the others, and from the journal."""
        done = {index: key for index, key in enumerate(turn.keys) if key in self._known}
        if self._journal is not None:
            mine |= {index: self._journal.read(key) for index, key in done.items()}
        step = f"{label} {turn.number} {b''.join(turn.keys).hex()}"
        found = {index: scores for part in self._processes.exchange(step, mine) for index, scores in part.items()}
        if self._journal is not None:
            for index, key in enumerate(turn.keys):
                if index not in done:
                    self._journal.write(key, found[index])
        return [found[index] for index in range(len(turn.chunks))]


def _compared(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    scores = cosine_similarity(images, texts)
    return [scores[:, end - count : end] for count, end in zip(counts, accumulate(counts), strict=True)]


def _stacked(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    return [
        np.concatenate([images, texts[end - count : end]])
        for count, end in zip(counts, accumulate(counts), strict=True)
    ]
