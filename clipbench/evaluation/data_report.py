"""What a task's data holds: how many samples there are, and what is missing, broken or invalid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import islice

from clipbench.concepts import Variants
from clipbench.data.dataset import Source
from clipbench.errors import ConfigError, DataError
from clipbench.evaluation.options import Progress, ignore_progress
from clipbench.task_types.base import Task
from clipbench.task_types.blind import BlindRules
from clipbench.types import ImageRef, Sample, SampleError
from clipbench.utils.counting import Distinct
from clipbench.utils.text import pluralize, text_problem

_EXAMPLES = 3  # names in a message


class ExampleList:
    """The number of distinct things, and the first few by name; memory grows by 10 bytes per thing.

    Attributes:
        examples: Name to description, for the first few.
    """

    def __init__(self) -> None:
        self._names = Distinct()
        self.examples: dict[str, str] = {}

    def add(self, name: str, text: str | None = None) -> None:
        """Count a thing once; ``text`` describes it, by default its name."""
        if len(self.examples) < _EXAMPLES:
            self.examples.setdefault(name, text or name)
        self._names.add(name)

    def __len__(self) -> int:
        return len(self._names)

    def __str__(self) -> str:
        """The first few, and the number of the rest."""
        more = f", … {len(self) - len(self.examples):,} more" if len(self) > len(self.examples) else ""
        return ", ".join(self.examples.values()) + more


class DataReport:
    """What one pass over a task's samples finds.

    Args:
        task: The task.
        source: Its rows; None where they cannot be opened.
        limit: Stop after this many samples that can be scored; also an attribute.
        needs_images: Whether samples with a missing image cannot be scored, and fail the run.
        checked: The report of an earlier pass over the same samples: its images, repeats and blind scores are taken.

    Attributes:
        n: Samples in the data, including those with a missing image and those that cannot be scored.
        scorable: Samples that a model can be scored on.
        expected_n: What the task declares; None where it declares nothing or a limit was set.
        images: Distinct images that the samples refer to.
        missing: Images that do not exist.
        broken: Images that exist and cannot be read, and what is wrong.
        invalid: Samples that cannot be scored, and why.
    """

    def __init__(
        self,
        task: Task,
        source: Source | None,
        limit: int | None = None,
        *,
        needs_images: bool = True,
        checked: DataReport | None = None,
    ) -> None:
        self.task, self.limit, self._needs_images = task, limit, needs_images
        self._source, self._checked = source, checked
        self.expected_n = None if limit is not None else task.expected_n
        self.n = 0
        self.scorable = 0
        self.images: Distinct = checked.images if checked else Distinct()
        self.missing, self.broken, self.invalid = ExampleList(), ExampleList(), ExampleList()
        self._rules: BlindRules | None = None
        self._blind: dict[str, dict[str, float]] = {}
        self._texts: int = checked._texts if checked else 0
        self._distinct: Distinct = checked._distinct if checked else Distinct()
        details = source.provenance.details if source else {}
        self._gap = details.get("gap") if limit is None else None
        problem = details.get("problem")
        self._notes = [problem] if problem else []

    def again(self, *, needs_images: bool = True) -> DataReport:
        """A report on another pass over the same samples; what it can take from this one, it does not count again."""
        same = self.n and (needs_images == self._needs_images or not self.missing)
        checked = self if same else None  # a streaming run has not checked anything
        return DataReport(self.task, self._source, self.limit, needs_images=needs_images, checked=checked)

    def track(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Count samples as they pass, and yield those that a model can be scored on, up to the limit.

        Raises:
            DataError: A row or column cannot be read.
        """
        return islice(self._scorable(samples), self.limit)

    def _scorable(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        first = self._checked is None
        self._rules = self.task.blind_rules() if first else None
        for sample in samples:
            self.n += 1
            whole = True
            for ref in sample.images:
                if first:
                    self.images.add(ref.key)
                if ref.missing and self._needs_images:
                    self.missing.add(ref.key)
                    whole = False
            reason = self.task.invalid_reason(sample) or _text_problem(sample)
            if reason is not None:
                self.invalid.add(sample.id, f"{sample.id}: {reason}")
                continue
            if first:
                self._count_repeats(sample)
            if self._rules is not None:
                self._rules.add(sample)  # whether or not its images exist
            if whole:
                self.scorable += 1
                yield sample

    def _count_repeats(self, sample: Sample) -> None:
        keys = tuple([ref.key for ref in sample.images])
        texts = (sample.texts.caption,) if isinstance(sample.texts, Variants) else tuple(sample.texts)
        for text in texts if self.task.whole_set else (texts,):
            self._texts += 1
            self._distinct.add((keys, text))

    def add_error(self, error: SampleError) -> None:
        """Withdraw a sample whose image or text turned out to be unusable for the model."""
        if error.image:
            self.broken.add(error.image, error.reason)
        else:
            self.invalid.add(error.sample_id, f"{error.sample_id}: {error.reason}")
        self.scorable -= 1

    def blind_scores(self) -> dict[str, dict[str, float]]:
        """Metric to what each blind rule reaches over the valid samples, by rule; empty if the task has no rules.

        The metrics are the primary one, and those that average it over groups.
        """
        if self._checked is not None:
            return self._checked.blind_scores()
        self.images.close()
        self._distinct.close()
        if self._rules is not None:
            task, scores = self.task, self._rules.scores()
            averages = [name for name, averaged in task.balanced_metrics.items() if averaged == task.primary_metric]
            balanced = {name: dict(scores.balanced) for name in averages}
            self._blind = {task.primary_metric: dict(scores.shares), **balanced}
            self._rules = None  # and what they remember of every sample
        return dict(self._blind)

    @property
    def failures(self) -> list[str]:
        """What makes a score incomparable with others; empty where the data is complete."""
        found = [self._gap] if self._gap else []
        if self.expected_n is not None and self.n != self.expected_n:
            found.append(f"{pluralize(self.n, 'sample')} where {self.expected_n:,} are expected")
        if not self.n:
            found.append("no sample in the data")
        if self._checked and self.n != self._checked.n:
            found.append(f"the data has changed: {pluralize(self.n, 'sample')} where there were {self._checked.n:,}")
        if self.missing:
            found.append(f"{len(self.missing):,} of {len(self.images):,} images missing ({self.missing})")
        if self.broken:
            found.append(f"{pluralize(len(self.broken), 'image')} cannot be read ({self.broken})")
        if self.invalid and not self.task.allow_invalid:
            found.append(self._invalid_text)
        return found

    @property
    def problems(self) -> list[str]:
        """All findings, known noise included, one line each."""
        known = [self._invalid_text] if self.invalid and self.task.allow_invalid else []
        return self.failures + known + self._repeats + self._notes

    @property
    def _repeats(self) -> list[str]:
        """Nothing for the complete published data, which may contain repeats."""
        repeats = self._texts - len(self._distinct)
        if not repeats or self.n == self.task.expected_n:
            return []
        what = "caption" if self.task.whole_set else "sample"
        return [f"{pluralize(repeats, what)} repeated, with the same image: each counts again"]

    @property
    def _invalid_text(self) -> str:
        return f"{pluralize(len(self.invalid), 'sample')} cannot be scored ({self.invalid})"


def sample_limit(task: Task, source: Source, limit: int | float | None, *, streaming: bool = False) -> int | None:
    """A limit as a number of samples: a share is one of the samples in the data, rounded up.

    Args:
        task: The task.
        source: Its rows, which a share makes go through once.
        limit: A number, a share, or None.
        streaming: Take a share of the samples that the task declares: going through the rows would fetch them.

    Raises:
        ConfigError: A share is asked for in a streaming run, and the task declares no number.
        DataError: A row or column cannot be read.
    """
    if not isinstance(limit, float):
        return limit
    total = task.expected_n if streaming else sum(1 for _ in task.samples(source))
    if total is None:
        raise ConfigError(
            f"limit {limit:g}: how many samples there are is unknown while they are streamed: give a number"
        )
    return math.ceil(Decimal(repr(float(limit))) * total)  # as it was written: 0.7 * 10 is more than 7 in floats


def validate_task(
    task: Task,
    source: Source,
    *,
    limit: int | float | None = None,
    workers: int = 0,
    on_progress: Progress = ignore_progress,
) -> DataReport:
    """Check a task's data without a model.

    Args:
        task: The task.
        source: Its rows.
        limit: Stop after this many samples that can be scored; below 1, after this share of the samples.
        workers: Threads that also decode every distinct image; 0 does not open images.
        on_progress: Called with a task, samples read, and samples expected if known.

    Raises:
        DataError: A row or column cannot be read.
    """
    report = DataReport(task, source, sample_limit(task, source, limit))
    samples = report.track(task.samples(source))
    seen: set[str] = set()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        # A bounded batch at a time: an ImageRef may hold the image's bytes.
        while batch := list(islice(samples, 256)):
            on_progress(f"{task.name}: data", report.n, report.limit or task.expected_n)
            if not workers:
                continue
            refs = {ref.key: ref for sample in batch for ref in sample.images if ref.key not in seen}
            seen.update(refs)
            for key, problem in zip(refs, pool.map(_problem, refs.values()), strict=True):
                if problem is not None:
                    report.broken.add(key, problem)
    report.blind_scores()
    return report


def _text_problem(sample: Sample) -> str | None:
    if isinstance(sample.texts, Variants):
        return text_problem(sample.texts.caption)
    return next(filter(None, map(text_problem, sample.texts)), None)


def _problem(ref: ImageRef) -> str | None:
    try:
        ref.open()
    except DataError as error:
        return str(error)
    return None
