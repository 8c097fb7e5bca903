"""The task contract: a benchmark is a class that declares itself and turns rows into samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from clipbench.data.dataset import Dataset, Source
from clipbench.types import Sample, SampleError, SampleResult

if TYPE_CHECKING:
    from clipbench.inference.scorer import Scorer
    from clipbench.metrics import Floats


class Task(ABC):
    """One benchmark: what it is, which rows it takes, and how a sample of it is judged.

    Subclass one of the task types (:class:`RankingTask`, :class:`PairsTask`, :class:`RetrievalTask`) and
    set the class attributes.

    Attributes:
        name: What ``--tasks`` calls it.
        version: Raised whenever scores change for the same model; results of two versions never mix.
        dataset: Where its rows come from.
        expected_n: Samples in the complete data; None where that is not known.
        groups: Groups it belongs to; their mean is reported, so their tasks share a metric.
        tags: Further names that select it, without a mean; :attr:`all_tags` adds its type and its concept.
        where: Only rows whose fields equal these values.
        allow_invalid: The published data is known to hold rows that cannot be judged: they are
            counted and left out of the mean, and do not fail the run.
        note: A caveat that the result file carries.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    dataset: ClassVar[Dataset]
    expected_n: ClassVar[int | None] = None
    groups: ClassVar[tuple[str, ...]] = ()
    tags: ClassVar[tuple[str, ...]] = ()
    where: ClassVar[Mapping[str, object]] = {}
    allow_invalid: ClassVar[bool] = False
    note: ClassVar[str] = ""

    # Set by the task type. Every metric is a share in [0, 1], and higher is better.
    task_type: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    primary_metric: ClassVar[str]

    @property
    def chance(self) -> float | None:
        """What guessing gives on :attr:`primary_metric` over the complete data; None if that depends on the data.

        Results hold what it is over the samples scored.
        """
        return None

    @property
    def all_tags(self) -> tuple[str, ...]:
        """Everything but groups that selects the task: its type, its concept if it has a name, and its tags."""
        concept = str(getattr(self, "concept", None) or self.where.get("concept", ""))
        named = (concept,) if concept.isidentifier() else ()
        return (self.task_type, *named, *self.tags)

    @abstractmethod
    def samples(self, source: Source) -> Iterator[Sample]:
        """Turn rows into samples, lazily and in the order of the rows.

        Raises:
            DataError: A row or column cannot be read.
        """

    @abstractmethod
    def invalid_reason(self, sample: Sample) -> str | None:
        """Why no judgement of a sample can mean anything (an empty caption, two equal ones), or None."""

    @abstractmethod
    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Judge one sample by its similarities ``(images, texts)``."""

    def outcomes(
        self, samples: Iterable[Sample], scorer: Scorer, namespace: str
    ) -> Iterator[SampleResult | SampleError]:
        """Score and judge samples as they come.

        Args:
            samples: Samples whose images are there and which can be judged.
            scorer: The scoring engine.
            namespace: What image keys are unique in.
        """
        for scored in scorer.similarities(samples, namespace):
            if isinstance(scored.similarities, SampleError):
                yield scored.similarities
            else:
                yield self.score_sample(scored.sample, scored.similarities)
