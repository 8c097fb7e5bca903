"""What a task finds in its data, before any model sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from clipbench.data.dataset import Source
from clipbench.errors import DataError
from clipbench.metrics import Distinct
from clipbench.task_types.base import Task
from clipbench.types import ImageRef, Sample
from clipbench.utils.text import pluralize

_EXAMPLES = 3  # names in a message


class ExampleList:
    """How many different things there are, and the first few by name; memory grows by 8 bytes a thing.

    Attributes:
        examples: Name to what is to be said, of the first few.
    """

    def __init__(self) -> None:
        self._names = Distinct()
        self.examples: dict[str, str] = {}

    def add(self, name: str, text: str | None = None) -> None:
        """Count a thing in, unless it has been; ``text`` is what is to be said of it, its name where left out."""
        if len(self.examples) < _EXAMPLES:
            self.examples.setdefault(name, text or name)
        self._names.add(name)

    def __len__(self) -> int:
        return len(self._names)

    def __str__(self) -> str:
        """The first few, and how many more there are."""
        more = f", … {len(self) - len(self.examples):,} more" if len(self) > len(self.examples) else ""
        return ", ".join(self.examples.values()) + more


@dataclass
class DataReport:
    """What is there and what is not.

    Attributes:
        n: Samples in the data, those included whose image is missing or which cannot be judged.
        scorable: Samples that a model can be judged on.
        expected_n: What the task declares; None where it declares nothing or a limit was set.
        images: Distinct images that the samples ask for.
        missing: Those that are not there.
        broken: Those that are there and cannot be read, and what is wrong.
        unjudgeable: Samples that cannot be judged, and why.
        notes: What the source has to say of its rows.
        lenient: Unjudgeable samples are known noise of the published data.
    """

    expected_n: int | None = None
    lenient: bool = False
    notes: list[str] = field(default_factory=list)
    n: int = 0
    scorable: int = 0
    images: Distinct = field(default_factory=Distinct)
    missing: ExampleList = field(default_factory=ExampleList)
    broken: ExampleList = field(default_factory=ExampleList)
    unjudgeable: ExampleList = field(default_factory=ExampleList)

    @property
    def failures(self) -> list[str]:
        """What makes a score incomparable; empty where the data is whole."""
        found = []
        if self.expected_n is not None and self.n != self.expected_n:
            found.append(f"{pluralize(self.n, 'sample')} where {self.expected_n:,} are expected")
        if not self.n:
            found.append("no sample in the data")
        if self.missing:
            found.append(f"{len(self.missing):,} of {len(self.images):,} images missing ({self.missing})")
        if self.broken:
            found.append(f"{pluralize(len(self.broken), 'image')} cannot be read ({self.broken})")
        if self.unjudgeable and not self.lenient:
            found.append(self._unjudgeable_text)
        return found

    @property
    def problems(self) -> list[str]:
        """All there is to say, known noise included, a line each."""
        known = [self._unjudgeable_text] if self.unjudgeable and self.lenient else []
        return self.failures + known + self.notes

    @property
    def _unjudgeable_text(self) -> str:
        return f"{pluralize(len(self.unjudgeable), 'sample')} cannot be judged ({self.unjudgeable})"


def scorable_samples(task: Task, source: Source, survey: DataReport, limit: int | None = None) -> Iterator[Sample]:
    """Yield the samples a model can be judged on, and keep count of all in ``survey``.

    Args:
        task: The task.
        source: Its rows.
        survey: Filled as the samples pass.
        limit: Stop after so many.

    Raises:
        DataError: A row or column cannot be read.
    """

    def passing() -> Iterator[Sample]:
        for sample in task.samples(source):
            survey.n += 1
            whole = True
            for ref in sample.images:
                survey.images.add(ref.key)
                if ref.missing:
                    survey.missing.add(ref.key)
                    whole = False
            reason = task.invalid_reason(sample)
            if reason is not None:
                survey.unjudgeable.add(sample.id, f"{sample.id}: {reason}")
            elif whole:
                survey.scorable += 1
                yield sample

    return islice(passing(), limit)


def new_data_report(task: Task, source: Source | None, limit: int | None = None) -> DataReport:
    """An empty survey with the task's expectations; a limited one expects no number."""
    problem = source.provenance.details.get("problem") if source else None
    return DataReport(
        expected_n=None if limit is not None else task.expected_n,
        lenient=task.allow_invalid,
        notes=[problem] if problem else [],
    )


def validate_task(
    task: Task,
    source: Source,
    *,
    limit: int | None = None,
    workers: int = 0,
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> DataReport:
    """Go through a task's data without a model.

    Args:
        task: The task.
        source: Its rows.
        limit: Look at no more than so many samples that can be scored.
        workers: Threads that also decode every distinct image; 0 leaves the images closed.
        on_progress: Called with what is being done, samples seen, and samples expected if that is known.

    Raises:
        DataError: A row or column cannot be read.
    """
    survey = new_data_report(task, source, limit)
    samples = scorable_samples(task, source, survey, limit)
    seen: set[str] = set()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        # A bounded batch at a time: an ImageRef may hold the image's bytes.
        while batch := list(islice(samples, 256)):
            if on_progress:
                on_progress(f"{task.name}: data", survey.n, limit or task.expected_n)
            if not workers:
                continue
            refs = {ref.key: ref for sample in batch for ref in sample.images if ref.key not in seen}
            seen.update(refs)
            for key, problem in zip(refs, pool.map(_problem, refs.values()), strict=True):
                if problem is not None:
                    survey.broken.add(key, problem)
    return survey


def _problem(ref: ImageRef) -> str | None:
    try:
        ref.open()
    except DataError as error:
        return str(error)
    return None
