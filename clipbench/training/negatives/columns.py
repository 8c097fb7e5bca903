"""Hard negatives in the rows of a table: columns of captions, columns of images, or rows that hold pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clipbench.data import Provenance, Source
from clipbench.data.caption_cells import captions_in
from clipbench.errors import DataError
from clipbench.training.datasets import NO_PLACES, open_training_data
from clipbench.training.recipe_checks import PAIRS
from clipbench.types import ImageRef, Row
from clipbench.utils.text import pluralize, text_problem


@dataclass(frozen=True, slots=True)
class Reading:
    """A caption, its image and what its row gives as their hard negatives.

    Attributes:
        id: Names the caption in messages.
        image: Its image.
        caption: The caption.
        negatives: Hard negative captions, without duplicates.
        images: Hard negative images.
        same: How many negatives read like the caption, and were left out.
    """

    id: str
    image: ImageRef
    caption: str
    negatives: tuple[str, ...] = ()
    images: tuple[ImageRef, ...] = ()
    same: int = 0


class GivenColumns:
    """Training data that holds its own hard negatives.

    Args:
        train_data: As in ``open_training_data``.
        data: Where named data sets lie.
        captions: Columns of hard negative captions: a text, or a list; or ``pairs``.
        images: Columns of hard negative images: what image columns hold, or numbers of rows (from 0), or lists.

    Attributes:
        source: The rows.

    Raises:
        ConfigError, DataError: The data or a column does not exist.
    """

    def __init__(
        self,
        train_data: str,
        captions: tuple[str, ...],
        images: tuple[str, ...] = (),
        data: Mapping[str, str] = NO_PLACES,
    ) -> None:
        self._pairs = captions == (PAIRS,)
        self._captions = () if self._pairs else captions
        source = open_training_data(train_data, data, (*self._captions, *images))
        self.where = source.provenance.location
        # Numbers stay fields; anything else is read as images are.
        self._numbered = tuple(name for name in images if _numbers(self._first(source, name)) is not None)
        pictures = tuple(name for name in images if name not in self._numbered)
        if pictures:
            source = open_training_data(train_data, data, (*self._captions, *self._numbered), pictures)
        self._pictures = pictures
        self.source: Source = source

    @property
    def hold_captions(self) -> bool:
        """Whether there are hard negative captions."""
        return self._pairs or bool(self._captions)

    @property
    def names(self) -> str:
        """The columns, for messages."""
        return ", ".join((*(() if not self._pairs else (PAIRS,)), *self._captions, *self._numbered, *self._pictures))

    def _first(self, source: Source, name: str) -> object:
        """The first cell of a column that is not empty; None if all are."""
        return next((row.fields[name] for row in source.rows() if _numbers(row.fields.get(name)) != []), None)

    def _check(self, row: Row) -> None:
        for name in (*self._captions, *self._numbered):
            if name not in row.fields:
                raise DataError(f"{self.where}: no column {name!r}: this layout has no columns")

    def rows(self, keep: Callable[[tuple[str, ...]], bool]) -> Iterator[Reading]:
        """Captions with their hard negatives; a caption is not yet filtered, only its row.

        Raises:
            DataError: A row cannot be read, or its cells hold something else.
        """
        refs = [row.images[0] for row in self.source.rows() if row.images] if self._numbered else []
        for row in self.source.rows(keep=keep):
            yield from self._of_pairs(row) if self._pairs else self._of_columns(row, refs)

    def _of_pairs(self, row: Row) -> Iterator[Reading]:
        images, captions = row.images, row.captions
        if len(images) != len(captions) or len(images) < 2:
            raise DataError(
                f"{self.where}: row {row.id}: {pluralize(len(images), 'image')} and"
                f" {pluralize(len(captions), 'caption')}: negatives_from pairs needs several images, each with a"
                " caption (name their columns with FILE?images=A,B&captions=C,D)"
            )
        for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
            texts = [text for other, text in enumerate(captions) if other != place]
            others = tuple(ref for other, ref in enumerate(images) if other != place and ref.key != image.key)
            yield self._given(row, place, image, caption, texts, others)

    def _of_columns(self, row: Row, refs: list[ImageRef]) -> Iterator[Reading]:
        self._check(row)
        if not row.images or (len(row.images) > 1 and not self._pictures):
            raise DataError(
                f"{self.where}: row {row.id} has {pluralize(len(row.images), 'image')}, and training takes one: name"
                " one image column, or set negatives_from pairs"
            )
        image, *others = row.images
        others = [ref for ref in others if not ref.missing or ref.path]  # an empty cell is no missing file
        others += [self._at(refs, number, row, name) for name in self._numbered for number in self._rows_in(row, name)]
        texts = [self._texts(row, name) for name in self._captions]
        for place, caption in enumerate(row.captions):
            own = [text for column in texts for text in column[place]]
            yield self._given(row, place, image, caption, own, tuple(ref for ref in others if ref.key != image.key))

    def _given(
        self, row: Row, place: int, image: ImageRef, caption: str, texts: Sequence[str], others: tuple[ImageRef, ...]
    ) -> Reading:
        name = row.id if len(row.captions) == 1 else f"{row.id}#{place}"
        there = [text for text in texts if text.strip()]
        for text in there:
            if problem := text_problem(text):
                raise DataError(f"{self.where}: row {name}: negative caption: {problem}")
        different = tuple(dict.fromkeys(text for text in there if text != caption))
        return Reading(name, image, caption, different, others, sum(text == caption for text in there))

    def _texts(self, row: Row, name: str) -> list[list[str]]:
        """The hard negatives of each of the row's captions in one column."""
        value, where = row.fields[name], f"{self.where}: row {row.id}, column {name}"
        count = len(row.captions)
        if isinstance(value, list) and any(isinstance(item, list) for item in value):
            if len(value) != count:
                raise DataError(f"{where}: {pluralize(len(value), 'list')} for {pluralize(count, 'caption')}")
            return [_as_list(captions_in(item, where)) for item in value]
        texts = _as_list(captions_in(value, where))
        # As many as there are captions: one for each. Otherwise they are false of the image, whatever it is called.
        return [[text] for text in texts] if len(texts) == count > 1 else [texts] * count

    def _rows_in(self, row: Row, name: str) -> list[int]:
        numbers = _numbers(row.fields[name])
        if numbers is None:
            raise DataError(
                f"{self.where}: row {row.id}, column {name}: {str(row.fields[name])[:40]!r} is no number of a row, as"
                " in the rows before it"
            )
        return numbers

    def _at(self, refs: list[ImageRef], number: int, row: Row, name: str) -> ImageRef:
        if not 0 <= number < len(refs):
            raise DataError(
                f"{self.where}: row {row.id}, column {name}: no row {number}: there are"
                f" {pluralize(len(refs), 'row')}, counted from 0"
            )
        return refs[number]


class Tally:
    """Checks captions and their hard negatives as they are read, and keeps and counts the negatives.

    Args:
        columns: Where they come from, for messages.
        allow_missing: Leave out and count what would be an error.

    Attributes:
        negatives: Hard negatives of each caption whose image is there.
    """

    def __init__(self, columns: GivenColumns, allow_missing: bool) -> None:
        self._columns, self._allow = columns, allow_missing
        self.negatives: list[tuple[str, ...]] = []
        self._same = self._missing = 0

    def checked(self, read: Reading) -> Reading:
        """The caption, without the negative images that are missing.

        Raises:
            DataError: A negative reads like its caption, or a negative image is missing.
        """
        absent = [ref.key for ref in read.images if ref.missing]
        row = f"{self._columns.where}: row {read.id}"
        if read.same and not self._allow:
            raise DataError(
                f"{row}: a negative in {self._columns.names} is the caption itself ({read.caption[:60]!r}); set"
                " allow_missing to leave such negatives out"
            )
        if absent and not self._allow:
            raise DataError(
                f"{row}: negative image {absent[0]} is missing ({self._columns.names}); set allow_missing to do without"
            )
        self._same, self._missing = self._same + read.same, self._missing + len(absent)
        if not read.image.missing:
            self.negatives.append(read.negatives)
        return replace(read, images=tuple(ref for ref in read.images if not ref.missing))

    def noted(self, provenance: Provenance, k: int) -> Provenance:
        """The provenance, with what users must know.

        Raises:
            DataError: No caption has a hard negative.
        """
        none = sum(not texts for texts in self.negatives) if k and self._columns.hold_captions else 0
        if none and none == len(self.negatives):
            raise DataError(f"{self._columns.where}: {self._columns.names}: no caption has a hard negative there")
        if none:
            provenance = provenance.with_problem(
                f"{none:,} of {pluralize(len(self.negatives), 'caption')} have no hard negative ({self._columns.names})"
            )
        if self._same:
            provenance = provenance.with_problem(f"left out: {pluralize(self._same, 'negative')} equal to the caption")
        if self._missing:
            provenance = provenance.with_problem(f"{pluralize(self._missing, 'negative image')} missing")
        return provenance


def _as_list(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else value


def _numbers(cell: object) -> list[int] | None:
    """Numbers of rows in a cell, also as text; None if it holds something else. An empty cell holds none."""
    if cell is None or cell == "" or cell != cell:
        return []
    if isinstance(cell, str):
        if not re.fullmatch(r"\s*[\[(]?[\s\d,]*[\])]?\s*", cell) or len(cell) > 100_000:
            return None
        return [int(digits) for digits in re.findall(r"\d{1,18}", cell)]
    if isinstance(cell, bool):
        return None
    values = list(cell) if isinstance(cell, list | tuple) else [cell]
    whole = [int(value) for value in values if isinstance(value, int | float) and float(value).is_integer()]
    return whole if len(whole) == len(values) else None
