"""What flows through an evaluation: rows of a source, samples of a task, results of samples, logged samples.

Images travel as ``ImageRef``, a name and a way to open it. Nothing here decodes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A lazy image.

    Attributes:
        key: Names the image within its dataset (file name, image id, ``row 12, coco_image``). Two
            references with one key are the same image and are decoded once; error messages quote it.
        open: Decodes the image, upright and in RGB. Raises DataError where there are bytes, but no image that can
            be read whole.
        missing: It is already known that there is nothing to open: no such file, an empty cell.
        content: Gives bytes that identify what is shown, faster than it could be decoded: equal bytes, equal
            pictures. Raises DataError where there is nothing to read. None where nothing vouches for the content;
            then the image's features are not kept between runs.
        path: The file that holds this image alone, if there is one.
        digest: What ``content`` gives for the bytes of the image's file, where that is known without reading them.
    """

    key: str
    open: Callable[[], Image.Image] = field(compare=False, repr=False)
    missing: bool = False
    content: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)
    path: Path | None = field(default=None, compare=False, repr=False)
    digest: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a dataset, before any task looks at it.

    Attributes:
        id: Stable name of the record within its dataset, for reports and ``doc_id``.
        images: The record's images, in the order of the source's image columns.
        captions: The record's captions as written. For a caption dataset all belong to ``images[0]``;
            for a dataset of pairs ``captions[i]`` belongs to ``images[i]``.
        fields: Other columns that the task asked for, by name.
        false_captions: Captions that are false of the record's images, for choice tasks.
    """

    id: str
    images: tuple[ImageRef, ...]
    captions: tuple[str, ...]
    fields: Mapping[str, object] = field(default_factory=dict)
    false_captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What one judgement needs.

    Attributes:
        id: Unique within the task.
        images: ``images[i]`` matches ``texts[i]``; what is left over on either side distracts.
        texts: A sequence, maybe a lazy one: see ``clipbench.concepts.Variants``.
        group: The part of the task it belongs to, for breakdowns (the keyword, for ranking).
        cluster: Samples of one cluster are not independent (captions of one image): standard errors
            are computed over clusters.
        true_texts: How many of the texts, from the first, are true of the single image; the others are false.
    """

    id: str
    images: tuple[ImageRef, ...]
    texts: Sequence[str]
    group: str
    cluster: str
    true_texts: int = 1


class Deferred(Mapping[str, object]):
    """A mapping that is made when it is first read: most results are not logged.

    Args:
        make: Makes it.

    Examples:
        >>> Deferred(lambda: {"texts": ["a cat"]})
        {'texts': ['a cat']}
    """

    __slots__ = ("_made",)

    def __init__(self, make: Callable[[], dict[str, object]]) -> None:
        self._made: dict[str, object] | Callable[[], dict[str, object]] = make

    def _mapping(self) -> dict[str, object]:
        if not isinstance(self._made, dict):
            self._made = self._made()
        return self._made

    def __getitem__(self, name: str) -> object:
        return self._mapping()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    def __repr__(self) -> str:
        return repr(self._mapping())

    def __reduce__(self) -> tuple[type[dict[str, object]], tuple[dict[str, object]]]:
        return dict, (self._mapping(),)


@dataclass(slots=True)  # not frozen: that takes four times as long to make, and there are millions
class SampleResult:
    """How one sample was scored.

    Attributes:
        sample_id: The sample's id; for retrieval, the query's.
        values: Metric name to value in [0, 1].
        correct: Whether a reader would call the sample correct: the primary metric, where the sample has it.
        chance: What guessing gives on the primary metric.
        tied: An equal score withheld a win on the primary metric.
        group: As in ``Sample``.
        cluster: As in ``Sample``.
        record: What the sample log holds in addition. ``images`` (keys), ``texts`` and ``scores`` (one per text, or one
            row of them per image) are what contact sheets and comparisons need; the rest is the task type's own.
    """

    sample_id: str
    values: Mapping[str, float]
    correct: bool
    chance: float
    tied: bool
    group: str
    cluster: str
    record: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleError:
    """A sample that could not be scored, and why.

    Attributes:
        sample_id: The sample's id.
        image: Key of the image that cannot be read; empty if a text is at fault.
        reason: What is wrong, in one line.
    """

    sample_id: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoggedSample:
    """One line of a sample log.

    Attributes:
        id: The sample's id.
        correct: As in ``SampleResult``.
        tied: As in ``SampleResult``.
        group: As in ``Sample``.
        cluster: As in ``Sample``.
        images: Keys of its images.
        texts: Its texts.
        scores: Similarities, one row per image and one column per text.
        values: Everything in the line: metrics by name, and what the task type logs in addition.
        offset: The byte of the log at which the line begins.
    """

    id: str
    correct: bool
    tied: bool
    group: str
    cluster: str
    images: tuple[str, ...]
    texts: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    values: Mapping[str, Any]
    offset: int = 0
