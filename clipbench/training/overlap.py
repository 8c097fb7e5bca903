"""Images of a task that were trained on: then its score is no longer one of unseen images.

COCO's numbers stay with a photograph through all its releases: ``COCO_val2014_000000000139.jpg`` is val2017's
``000000000139.jpg``, so that who trained on val2014 has seen much of val2017.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from clipbench.data import Source
from clipbench.errors import DataError
from clipbench.evaluation.preparation import PreparedTask
from clipbench.task_types.base import Task
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize

# Shorter names and numbers (`12.jpg`, `row 12`) are one data set's own, and say nothing about another's.
_COCO = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(?P<id>\d{12})")
# A counter with zeros before it says as little.
_LONG = re.compile(r"(?:[\w.-]*[A-Za-z_.-])?[1-9]\d{6,}[\w.-]*")
_SHOWN = 3
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a task's images was trained on.

    Attributes:
        task: The task.
        shared: Its images that were among the training images.
        images: Its images.
        examples: Names of the first few that were.
    """

    task: str
    shared: int
    images: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """A warning, in one line."""
        more = ", …" if self.shared > len(self.examples) else ""
        return (
            f"{self.task}: {self.shared:,} of its {pluralize(self.images, 'image')} are among the training images"
            f" ({', '.join(self.examples)}{more}): its score says little about unseen ones"
        )


def photograph_id(key: str) -> str | None:
    """The identity of an image across releases of its data set, from its name; None if the name has none.

    Examples:
        >>> photograph_id("train2014/COCO_val2014_000000000139.jpg"), photograph_id("val2017/000000000139.jpg")
        ('000000000139', '000000000139')
        >>> photograph_id("12.jpg"), photograph_id("row 12000000, coco_image"), photograph_id("1000092795.jpg")
        (None, None, '1000092795')
    """
    stem = PurePosixPath(key).stem
    coco = _COCO.fullmatch(stem)
    if coco:
        return coco["id"]
    return stem if _LONG.fullmatch(stem) else None


def find_overlaps(
    training: Sequence[ImageRef],
    plans: Sequence[PreparedTask],
    *,
    workers: int = 2,
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> list[Overlap]:
    """Find the tasks with images that were trained on, by their names and by the bytes of their files.

    A photograph that was re-encoded under another short name is not found.

    Args:
        training: The images that are trained on.
        plans: Tasks and their data; those that cannot be had are passed over.
        workers: Threads that read files.
        on_progress: Called with what is compared, images done, and images in all.

    Returns:
        An entry for each task that has any, in order.
    """
    tasks = {plan.task.name: _images_of(plan.task, plan.source) for plan in plans if plan.source is not None}
    seen: set[str | bytes] = set()

    def report(name: str, done: int, total: int | None) -> None:
        if on_progress:
            on_progress(name, done, total)

    for done, marks in enumerate(_marks(training, workers), 1):
        seen |= marks
        if done % _AT_ONCE == 0:
            report("training images compared", done, len(training))
    known: dict[tuple[int, str], frozenset[str | bytes]] = {}  # tasks of one source share their images
    found = []
    for name, refs in tasks.items():
        fresh = {place: ref for place, ref in refs.items() if place not in known}
        known.update(zip(fresh, _marks(fresh.values(), workers), strict=True))
        report(f"{name}: images compared", len(refs), len(refs))
        shared = [ref.key for place, ref in refs.items() if not seen.isdisjoint(known[place])]
        if shared:
            found.append(Overlap(name, len(shared), len(refs), tuple(shared[:_SHOWN])))
    return found


def _images_of(task: Task, source: Source) -> dict[tuple[int, str], ImageRef]:
    """A task's available images, by source and key."""
    found: dict[tuple[int, str], ImageRef] = {}
    with suppress(Exception):  # a plugin's task may raise anything; scoring reports it
        for sample in task.samples(source):
            found.update({(id(source), ref.key): ref for ref in sample.images if not ref.missing})
    return found


def _marks(refs: Iterable[ImageRef], workers: int) -> Iterator[frozenset[str | bytes]]:
    """What each image is recognized by: its name, where that is one, and a digest of its bytes."""
    waiting = iter(refs)
    with ThreadPoolExecutor(workers) as pool:
        while part := list(islice(waiting, _AT_ONCE)):
            yield from pool.map(_marks_of, part)


def _marks_of(ref: ImageRef) -> frozenset[str | bytes]:
    name = photograph_id(ref.key)
    marks: set[str | bytes] = {name} if name else set()
    if ref.content is not None:
        with suppress(DataError):  # training and scoring report unreadable images
            marks.add(ref.content())
    return frozenset(marks)
