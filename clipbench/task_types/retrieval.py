"""Retrieval in both directions: every caption against every image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from clipbench.data.dataset import Source
from clipbench.task_types.base import Task, only_image
from clipbench.types import LoggedSample, Sample, SampleError, SampleResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clipbench.inference.scorer import Scorer
    from clipbench.metrics import Floats

_CUTOFFS = (1, 5, 10)
_QUERIES = 256  # whose scores are in memory at once: 26 MB against the 25,014 captions of COCO's test split
_ITEMS = 4096  # that are compared in double precision at once


def _metrics(cutoffs: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{way}_recall@{k}" for way in ("t2i", "i2t") for k in cutoffs)


class RetrievalTask(Task):
    """Recall@k as the hit rate: the share of queries with an item of their own among the first k.

    ``t2i_recall@k``: a caption looks for its image among all images. ``i2t_recall@k``: an image looks for
    any of its captions among all captions. Ranks count equal scores as better ones.

    A sample is an image with its captions; its results are one for the image and one per caption.

    Attributes:
        captions: Which captions of an image are used: ``all``, the ``first``, or the given number of first ones.
        cutoffs: The values of k. The primary metric is text to image at 5, or else at the middle cutoff.
    """

    task_type = "retrieval"
    captions: ClassVar[str | int] = "all"
    cutoffs: ClassVar[tuple[int, ...]] = _CUTOFFS
    metrics = _metrics(_CUTOFFS)
    primary_metric = "t2i_recall@5"
    whole_set = True
    hub_task = ("image-text-retrieval", "Retrieval")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "cutoffs" in cls.__dict__:
            cls.metrics = _metrics(cls.cutoffs)
            k = 5 if 5 in cls.cutoffs else cls.cutoffs[len(cls.cutoffs) // 2]
            cls.primary_metric = f"t2i_recall@{k}"

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each image; rows that repeat an image add their captions to it."""
        most = None if self.captions == "all" else 1 if self.captions == "first" else int(self.captions)
        gathered: dict[str, tuple[Sample, list[str]]] = {}
        for row in source.rows(where=self.where):
            image = only_image(row, "retrieval")
            if image.key not in gathered:
                own: list[str] = []
                gathered[image.key] = Sample(row.id, (image,), own, self.name, image.key), own
            texts = gathered[image.key][1]
            texts[:] = [*texts, *row.captions][:most]
        yield from (sample for sample, _ in gathered.values())

    def invalid_reason(self, sample: Sample) -> str | None:
        """The image has no caption, or an empty one."""
        if not len(sample.texts):
            return "no caption"
        return None if all(text.strip() for text in sample.texts) else "empty caption"

    def outcomes(
        self, samples: Iterable[Sample], scorer: Scorer, namespace: str
    ) -> Iterator[SampleResult | SampleError]:
        """Encode everything, keeping features and never images, then rank by counting."""
        import numpy as np  # a mere listing of tasks does without

        kept: list[Sample] = []
        image_rows: list[Floats] = []
        text_rows: list[Floats] = []
        for encoded in scorer.features(samples, namespace):
            if isinstance(encoded.features, SampleError):
                yield encoded.features
            else:
                kept.append(encoded.sample)
                image_rows.append(encoded.features[0])
                text_rows.append(encoded.features[1:])
        if kept:
            owners = np.repeat(np.arange(len(kept)), [len(rows) for rows in text_rows])
            images, texts = np.stack(image_rows), np.concatenate(text_rows)
            image_rows.clear()  # or features would be in memory twice
            text_rows.clear()
            yield from self.score_all(kept, images, texts, owners)

    def score_all(
        self, samples: list[Sample], images: Floats, texts: Floats, owners: NDArray[np.intp]
    ) -> Iterator[SampleResult]:
        """Rank every query.

        Args:
            samples: The images with their captions.
            images: Unit features, ``(N, D)``.
            texts: Unit features of all captions, ``(M, D)``, in the samples' order.
            owners: The image that each caption belongs to, ``(M,)``.
        """
        import numpy as np

        starts = np.searchsorted(owners, np.arange(len(samples) + 1))
        for query, scores in _rows(images, texts):
            own = np.arange(starts[query], starts[query + 1])
            sample = samples[query]
            yield self._outcome("i2t", sample, sample.id, list(sample.texts), scores, own)
        for query, scores in _rows(texts, images):
            own = owners[query : query + 1]
            sample, position = samples[own[0]], query - starts[own[0]]
            text = sample.texts[position]
            yield self._outcome("t2i", sample, f"{sample.id}#{position}", [text], scores, own)

    def _outcome(
        self, way: str, sample: Sample, name: str, texts: list[str], scores: Floats, own: NDArray[np.intp]
    ) -> SampleResult:
        from clipbench.metrics import best_rank

        rank, tied = best_rank(scores, own)
        # An image has several captions, and one of them is enough; but chance is quoted for text to image only.
        primary = int(self.primary_metric.split("@")[1])
        chance = min(1.0, primary / len(scores))
        values = {f"{way}_recall@{k}": float(rank <= k) for k in self.cutoffs}
        record = {
            "direction": way,
            "images": [sample.images[0].key],
            "texts": texts,
            "scores": scores[own].tolist(),
            "rank": rank,
        }
        return SampleResult(f"{way}:{name}", values, rank <= primary, chance, tied, way, sample.cluster, record)

    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        """From the rank: the scores of the whole set are not logged."""
        way, rank = f"{sample.values['direction']}_recall@", sample.values["rank"]
        if type(rank) is not int or rank < 1:
            raise ValueError(f"rank {rank!r}")
        return {metric: float(rank <= int(metric.split("@")[1])) for metric in self.metrics if metric.startswith(way)}

    @classmethod
    def own_texts(cls, sample: LoggedSample) -> list[bool]:
        """All: only the query's own items are logged."""
        return [True] * len(sample.texts)


def _rows(queries: Floats, items: Floats) -> Iterator[tuple[int, Floats]]:
    """Yield each query's index and its scores against all items."""
    import numpy as np

    from clipbench.metrics import cosine_similarity

    for start in range(0, len(queries), _QUERIES):
        some = queries[start : start + _QUERIES]
        blocks = (cosine_similarity(some, items[first : first + _ITEMS]) for first in range(0, len(items), _ITEMS))
        yield from enumerate(np.concatenate(list(blocks), axis=1), start)
