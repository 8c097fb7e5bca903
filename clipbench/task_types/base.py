"""The task contract: a benchmark is a class that declares itself and turns rows into samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NoReturn

from clipbench.data.dataset import Dataset, Source
from clipbench.errors import ConfigError, DataError, ResultError
from clipbench.types import ImageRef, LoggedSample, Row, Sample, SampleError, SampleResult
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from clipbench.inference.scorer import Scorer
    from clipbench.metrics import Floats
    from clipbench.task_types.blind import BlindRules

TASK_TYPES: dict[str, type[Task]] = {}
"""Every task type by name: a class that sets ``task_type`` registers itself."""


class Task(ABC):
    """One benchmark: what it is, which rows it takes, and how its samples are scored.

    To declare a benchmark, subclass a task type (``RankingTask``, ``PairsTask``, ``ChoiceTask``) and
    set the class attributes. To make a new task type, subclass ``SampleTask`` where each sample is scored by
    itself, or this class where a score needs the whole set, and set ``task_type``, ``metrics`` and ``primary_metric``.
    Everything that is done with logged samples (drawing, comparing, rescoring, confusions, boards, hub cards) goes
    through the task type, so that a plug-in's works like the bundled ones.

    Attributes:
        name: What ``--tasks`` calls it.
        version: Raised whenever scores change for the same model; results of two versions never mix.
        dataset: Where its rows come from.
        expected_n: Samples in the complete data; None if unknown.
        groups: Groups it belongs to; their mean is reported, so their tasks share a metric.
        tags: Further names that select it, without a mean; ``all_tags`` adds its type and its concept.
        where: Only rows whose fields equal these values.
        allow_invalid: The published data is known to hold invalid rows: they are counted and left out of the mean, and
            do not fail the run.
        note: A caveat that the result file carries.
        language: The language of its texts as ISO 639-1 code, for tokenizers that need it; empty for the default.
        task_type: The task type's name.
        metrics: Metrics, each a share in [0, 1] of which more is better.
        primary_metric: The metric to quote.
        balanced_metrics: Metric to the other metric that it averages over groups, with equal weights.
        joint_metrics: Metric to ``cluster`` or ``group``: the share of clusters, or of groups within clusters, in which
            every sample is right by the primary metric.
        needs_concept: Tasks of this type declare a concept.
        whole_set: A score depends on the whole set of samples, as in retrieval.
        hub_task: What the Hugging Face Hub calls this type, and its name on a model card.
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
    language: ClassVar[str] = ""

    task_type: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    primary_metric: ClassVar[str]
    balanced_metrics: ClassVar[Mapping[str, str]] = {}
    joint_metrics: ClassVar[Mapping[str, str]] = {}
    needs_concept: ClassVar[bool] = False
    whole_set: ClassVar[bool] = False
    hub_task: ClassVar[tuple[str, str]] = ("image-text-matching", "Image-text matching")

    def __init_subclass__(cls) -> None:
        """Register a new task type.

        Raises:
            ConfigError: It has the name of a bundled one.
        """
        super().__init_subclass__()
        if "task_type" not in cls.__dict__:
            return
        known = TASK_TYPES.get(cls.task_type)
        if known and known.__module__.startswith("clipbench.") and known.__module__ != cls.__module__:
            raise ConfigError(f"task type {cls.task_type!r} of {cls.__module__}: clipbench has one of this name")
        TASK_TYPES[cls.task_type] = cls

    @classmethod
    def declare(cls, name: str, doc: str, **attributes: object) -> type[Task]:
        """Declare one of several similar benchmarks as a subclass, in the module of this class.

        Args:
            name: The new task's name.
            doc: Its docstring.
            **attributes: Attributes in which it differs.
        """
        return type(name, (cls,), {"name": name, "__doc__": doc, "__module__": cls.__module__, **attributes})

    @property
    def chance(self) -> float | None:
        """What guessing gives on ``primary_metric`` over the complete data; None if that depends on the data.

        Results hold what it is over the samples scored.
        """
        return None

    @property
    def part(self) -> str:
        """What of its data set it tests, in a word or two: its concept, or what its name adds to the data set's."""
        concept = str(getattr(self, "concept", None) or self.where.get("concept", ""))
        words = set(self.dataset.name.split("_"))
        added = [word for word in self.name.split("_") if word not in words]
        return concept if concept.isidentifier() else " ".join(added) or self.task_type

    @property
    def title(self) -> str:
        """For people: the data set and the part of it that is tested, such as ``InpaintCOCO · color``."""
        return f"{self.dataset.title or self.dataset.name.replace('_', ' ')} · {self.part}"

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
        """Why a sample cannot be scored in any meaningful way (an empty caption, two equal ones), or None."""

    @abstractmethod
    def outcomes(
        self, samples: Iterable[Sample], scorer: Scorer, namespace: str
    ) -> Iterator[SampleResult | SampleError]:
        """Score samples.

        Args:
            samples: Valid samples whose images exist.
            scorer: The scoring engine.
            namespace: Where image keys are unique.
        """

    @abstractmethod
    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        """A logged sample's metrics, computed again from what was logged.

        Raises:
            LookupError, TypeError, ValueError: The line lacks something, or it is of the wrong form.
        """

    def blind_rules(self) -> BlindRules | None:
        """Fresh rules that need no image, to which the task's samples are added; None if texts alone decide nothing.

        By default None: if images compete (pairs, retrieval), a rule that only sees texts ties.
        """
        return None

    @classmethod
    def own_texts(cls, sample: LoggedSample) -> Sequence[bool]:
        """For each text, whether it belongs to one of the images; the others distract.

        By default as in ``Sample``: ``texts[i]`` belongs to ``images[i]``.
        """
        return [place < len(sample.images) for place in range(len(sample.texts))]

    @classmethod
    def confusion(cls, sample: LoggedSample) -> tuple[str, str] | None:
        """What was right and what the model answered, to be counted on boards; None if the type has no such answers."""
        return None


class SampleTask(Task):
    """A task type whose samples are scored one by one."""

    @abstractmethod
    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Score one sample.

        Args:
            sample: The sample.
            similarities: Cosine similarities, ``(images, texts)``.
        """

    def outcomes(
        self, samples: Iterable[Sample], scorer: Scorer, namespace: str
    ) -> Iterator[SampleResult | SampleError]:
        for scored in scorer.similarities(samples, namespace):
            if isinstance(scored.similarities, SampleError):
                yield scored.similarities
            else:
                yield self.score_sample(scored.sample, scored.similarities)

    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        import numpy as np  # a mere listing of tasks does without

        images = tuple(ImageRef(key, _no_image) for key in sample.images)
        rebuilt = Sample(sample.id, images, sample.texts, sample.group, sample.cluster)
        return self.score_sample(rebuilt, np.asarray(sample.scores, dtype=np.float32)).values


def only_image(row: Row, what: str) -> ImageRef:
    """The image of a row of a task that takes one.

    Raises:
        DataError: It has none, or several, of which all but one would be left unused.
    """
    if len(row.images) != 1:
        raise DataError(
            f"row {row.id} has {pluralize(len(row.images), 'image')}, and {what} takes one: name one image column"
            if row.images
            else f"row {row.id} has no image"
        )
    return row.images[0]


def _no_image() -> NoReturn:
    raise ResultError("a logged sample has no image")
