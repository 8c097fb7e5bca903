"""The engine: distinct images and texts of a chunk of samples, encoded once, and compared in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby, starmap
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np

from clipbench.errors import DataError
from clipbench.inference.chunks import ChunkGroup, ChunkScores, Item, chunk_groups, content_digest, images_of
from clipbench.inference.embedding_cache import EmbeddingCache
from clipbench.inference.images import RECENT_IMAGES, SHARED_IMAGES, ImageEncoder, ImageFeatures, PendingImages
from clipbench.inference.journal import Journal, KnownChunk
from clipbench.inference.profile import Profile
from clipbench.inference.progress import ScoringProgress
from clipbench.inference.texts import TextEncoder
from clipbench.metrics import Floats, cosine_similarity
from clipbench.models.base import Model
from clipbench.types import ImageRef, Sample, SampleError
from clipbench.utils.distributed import Processes

Output = Literal["similarities", "features"]


class ScoredSample(NamedTuple):
    """A sample and its similarities, or why there are none.

    Attributes:
        sample: The sample.
        similarities: Cosines, ``(images, texts)`` float32; or why an image cannot be read.
    """

    sample: Sample
    similarities: Floats | SampleError


class EncodedSample(NamedTuple):
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
        prompt: Turns a sample's text into the one that is encoded.

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
        prompt: Callable[[str], str] = str,
    ) -> None:
        self.model = model
        self.profile = Profile()
        self._progress = ScoringProgress(self.profile)
        self.truncated_texts = 0
        self._texts = TextEncoder(model, batch_size, self.profile, cache, prompt)
        self._processes = processes or Processes()
        self._journal = journal
        # Only the main process has the journal; each process finds out which of its own chunks are still valid.
        known = self._processes.exchange("journal", journal.known if journal else None)[0]
        self._known, identify = known or {}, known is not None
        self._images = ImageEncoder(model, batch_size, workers, self.profile, cache, image_features, identify=identify)
        self._task = ""

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()

    def begin(
        self,
        task: str,
        *,
        images_return: bool,
        language: str = "",
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Announce a task.

        Args:
            task: The task's name, part of its chunks' keys.
            images_return: A later task uses the same images, so their features are kept.
            language: The language of its texts, as in ``Model.use_language``.
            on_progress: Called with the samples done, after each batch that is encoded.
        """
        self._texts.use_language(language)
        self._progress.begin(on_progress)
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
        for chunk, items in self._chunks(samples, namespace, "similarities"):
            yield from starmap(ScoredSample, zip(chunk, items, strict=True))

    def features(self, samples: Iterable[Sample], namespace: str) -> Iterator[EncodedSample]:
        """Encode each sample's single image and all its texts.

        Args:
            samples: As in ``similarities``.
            namespace: As in ``similarities``.

        Raises:
            ModelError: A feature is not finite; names the image or the text.
            ProcessesError: Another process failed or is lost.
        """
        for chunk, items in self._chunks(samples, namespace, "features"):
            yield from starmap(EncodedSample, zip(chunk, items, strict=True))

    def text_features(self, texts: Sequence[str]) -> Floats:
        """Unit features ``(M, D)`` of texts that belong to no sample, such as the prompts of classes.

        Raises:
            ModelError: A feature is not finite; names the text.
        """
        before = self._texts.truncated
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        found = self._texts.prompt_features(list(places))
        self.truncated_texts += self._texts.truncated - before
        return found[[places[text] for text in texts]]

    def _chunks(
        self, samples: Iterable[Sample], namespace: str, what: Output
    ) -> Iterator[tuple[Sequence[Sample], Sequence[Item]]]:
        """Yield the samples of one chunk after another, and what is known of each."""
        label = f"{self._task} {what}"
        with self._processes.in_step(label):
            for group, own, pending in self._read_ahead(samples, namespace, label):
                mine = {} if own is None else {own: self._score(group, own, pending, namespace, what)}
                found = self._exchange(group, label, mine)
                self._progress.leave(group.samples)
                for chunk, scores in zip(group.chunks, found, strict=True):
                    self.truncated_texts += scores.truncated_texts
                    yield chunk, scores.items

    def _read_ahead(
        self, samples: Iterable[Sample], namespace: str, label: str
    ) -> Iterator[tuple[ChunkGroup, int | None, PendingImages]]:
        """Yield groups, and which chunk of each is to be scored, while the images of the next one are being decoded."""
        keyed = self._journal is not None or bool(self._known) or self._processes.count > 1
        ahead = chunk_groups(samples, self._processes.count, label, keyed)
        ready: tuple[ChunkGroup, int | None, PendingImages] | None = None
        while True:
            with self.profile.stage("read"):
                group = next(ahead, None)
            if group is not None:
                own = self._own(group)
                refs = {} if own is None else images_of(group.chunks[own])
                pending = self._images.decode_ahead(refs, namespace, ready[2] if ready else {})
            if ready:
                yield ready
            if group is None:
                return
            ready = group, own, pending

    def _own(self, group: ChunkGroup) -> int | None:
        """Which of a group's chunks this process scores; None if there is none, or its scores are still valid."""
        rank = self._processes.rank
        if rank >= len(group.chunks):
            return None
        known = self._known.get(group.keys[rank])
        return None if known and self._holds(known, images_of(group.chunks[rank])) else rank

    def _holds(self, known: KnownChunk, images: dict[str, ImageRef]) -> bool:
        """Whether a chunk's images still have the same content and the same faults as when it was scored."""
        with self.profile.stage("read"):
            whole = [ref for key, ref in images.items() if key not in known.broken]
            if content_digest(self._images.content_keys(whole)) != known.content:
                return False
            return self._images.reasons(map(images.__getitem__, known.broken)) == list(known.broken.values())

    def _score(self, group: ChunkGroup, own: int, pending: PendingImages, namespace: str, what: Output) -> ChunkScores:
        chunk = group.chunks[own]
        sample_texts = [list(sample.texts) for sample in chunk]
        distinct = list(dict.fromkeys(chain.from_iterable(sample_texts)))
        self._progress.enter(group.samples, len(pending), len(distinct))
        before = self._texts.truncated
        problems = self._texts.problems(distinct)
        faults = [""] * len(chunk)
        if problems:
            faults = [next(filter(None, map(problems.get, own)), "") for own in sample_texts]
        usable = [text for text in distinct if text not in problems] if problems else distinct
        places = {text: place for place, text in enumerate(usable)}
        # Texts first, while images are still being decoded: those of the first chunk have only just been asked for.
        features = self._texts.features(usable)
        images = self._images.features(pending, namespace, list(images_of(chunk)))
        broken = {key: str(image) for key, image in images.items() if isinstance(image, DataError)}
        whole = {key: image for key, image in images.items() if not isinstance(image, DataError)}
        self.profile.texts_asked += sum(map(len, sample_texts))
        items: list[Item] = []
        # Captions of one image mostly stand together, and are compared with it at once.
        parts = zip(chunk, sample_texts, faults, strict=True)
        for (refs, fault), together in groupby(parts, key=lambda part: (part[0].images, part[2])):
            some = list(together)
            unread = next((ref.key for ref in refs if ref.key in broken), "") if broken else ""
            if unread or fault:
                items.extend(SampleError(sample.id, unread, broken.get(unread, fault)) for sample, _, _ in some)
            else:
                rows = np.array([whole[ref.key].feature for ref in refs])
                text_rows = features[[places[text] for _, own, _ in some for text in own]]
                items.extend(_OUTPUTS[what](rows, text_rows, [len(own) for _, own, _ in some]))
        content = content_digest(image.key for image in whole.values())
        return ChunkScores(items, self._texts.truncated - before, content, broken)

    def _exchange(self, group: ChunkGroup, label: str, mine: dict[int, ChunkScores]) -> list[ChunkScores]:
        """The scores of a group's chunks: from this process and the others, and those still valid in the journal."""
        kept: dict[int, ChunkScores] = {}
        if self._journal is not None:
            # Read everything it has, because it is not known yet which chunks other processes have scored again.
            kept = {index: self._journal.read(key) for index, key in enumerate(group.keys) if key in self._known}
        step = f"{label} {group.number} {b''.join(group.keys).hex()}"
        parts = self._processes.exchange(step, (kept, mine))
        scored = {index: scores for _, part in parts for index, scores in part.items()}
        if self._journal is not None:
            for index, scores in sorted(scored.items()):
                self._journal.write(group.keys[index], scores)
        found = {**parts[0][0], **scored}
        return [found[index] for index in range(len(group.chunks))]


def _compare(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    scores = cosine_similarity(images, texts)
    return [scores[:, end - count : end] for count, end in zip(counts, accumulate(counts), strict=True)]


def _stack(images: Floats, texts: Floats, counts: list[int]) -> list[Floats]:
    return [
        np.concatenate([images, texts[end - count : end]]) if count else images
        for count, end in zip(counts, accumulate(counts), strict=True)
    ]


# From the image rows that some samples share, their text rows, and the number of texts of each, to each one's item.
_OUTPUTS: dict[Output, Callable[[Floats, Floats, list[int]], list[Floats]]] = {
    "similarities": _compare,
    "features": _stack,
}
