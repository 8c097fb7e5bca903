"""Which columns of a table hold the images, the captions and the fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipbench.data.dataset import HubTable
from clipbench.errors import DataError

# In order of preference: a line counts only if the table has no name of an earlier line.
_IMAGE_NAMES = (
    ("image", "images", "img", "jpg", "jpeg", "png"),
    ("file_name", "filename", "filepath", "file_path", "image_path", "image_file", "path"),
)
_CAPTION_NAMES = (
    ("caption", "captions"),
    ("text", "texts", "txt", "sentence", "sentences"),
    ("answer", "title", "description", "alt_text", "image_caption"),
)
_NUMBERED_CAPTION = re.compile(r"(caption|sentence|text)_?\d+", re.IGNORECASE)
_FALSE_CAPTION = re.compile(r"((neg|negative|false)_captions?|foils?|hard_text)(_?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names by role.

    Attributes:
        images: Image columns.
        captions: Text columns: one for each image column, or any number for a single image column.
        fields: Columns that rows can be filtered by.
        false_captions: Text columns of captions that are false of the image.
        constants: Fields with the same value in every row.
    """

    images: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    false_captions: tuple[str, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()

    @property
    def readable(self) -> tuple[str, ...]:
        """All columns but those of images, without duplicates."""
        return tuple(dict.fromkeys((*self.captions, *self.false_captions, *self.fields)))

    @property
    def all(self) -> tuple[str, ...]:
        """All columns, without duplicates."""
        return tuple(dict.fromkeys((*self.images, *self.readable)))


def choose_columns(available: Sequence[str], *, declared: HubTable | None, where: str) -> Columns:
    """Decide on columns: those that the dataset declares, else well-known names.

    Args:
        available: The table's columns.
        declared: The columns of the dataset; if one is missing, well-known names are tried, unless ``exact``.
        where: The file or repository, for messages.

    Raises:
        DataError: A required column is missing, no column or several fit, or the numbers of columns do not match.
    """
    own = declared or HubTable("", "", "", (), ())
    if own.exact:
        _require((*own.images, *own.captions), available, where)
    _require(own.false_captions, available, where)
    images = _declared(own.images, available, where) or (_guess(_IMAGE_NAMES, available, "image", where),)
    captions = _declared(own.captions, available, where) or _guess_captions(available, where)
    if len(images) > 1 and len(captions) not in (1, len(images)):
        raise DataError(
            f"{where}: {len(images)} image columns ({', '.join(images)}) with {len(captions)} caption columns"
            f" ({', '.join(captions)}): name one caption column for each image, {_how('caption')}"
        )
    found = own.false_captions or tuple(name for name in available if _FALSE_CAPTION.fullmatch(name))
    false = tuple(name for name in found if name not in captions)
    fields = tuple(name for name in own.fields if name in available)
    return Columns(images, captions, fields, false, own.constants)


def captions_of(row: Mapping[str, object], columns: Columns, where: str) -> tuple[str, ...]:
    """The captions of one row, as written.

    An empty cell is an empty caption: it stays aligned with its image, and tasks count it. Only if one image has
    several caption columns, or a cell holds a list, does an empty cell mean "no more captions".

    Raises:
        DataError: A cell holds neither text nor a list of texts.
    """
    return _texts_of(row, columns.captions, where, ragged=len(columns.images) == 1 and len(columns.captions) > 1)


def false_captions_of(row: Mapping[str, object], columns: Columns, where: str) -> tuple[str, ...]:
    """The false captions of one row, as written; of several columns, an empty cell means "no more".

    Raises:
        DataError: A cell holds neither text nor a list of texts.
    """
    return _texts_of(row, columns.false_captions, where, ragged=len(columns.false_captions) > 1)


def _texts_of(row: Mapping[str, object], names: tuple[str, ...], where: str, *, ragged: bool) -> tuple[str, ...]:
    captions: list[str] = []
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            captions.append(value)
        elif value is None:
            captions.extend(() if ragged else ("",))
        elif isinstance(value, (list, tuple)) and all(item is None or isinstance(item, str) for item in value):
            captions.extend(item or "" for item in value)
        else:
            raise DataError(
                f"{where}, column {name}: expected a caption or a list of captions,"
                f" found {type(value).__name__} {str(value)[:40]!r}"
            )
    return tuple(text for text in captions if text or not ragged)


def missing_column(name: str, available: Sequence[str], where: str) -> DataError:
    """The error for a missing column, with the existing columns and close matches."""
    close = difflib.get_close_matches(name, available, 3, 0.6)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return DataError(f"{where}: no column {name!r}{hint}; the columns are: {', '.join(available) or 'none'}")


def _require(names: Sequence[str], available: Sequence[str], where: str) -> None:
    for name in names:
        if name not in available:
            raise missing_column(name, available, where)


def _declared(names: tuple[str, ...], available: Sequence[str], where: str) -> tuple[str, ...]:
    """The names, or none of them if one is missing; several columns cannot be guessed, so all of them must exist."""
    if len(names) > 1:
        _require(names, available, where)
    return names if all(name in available for name in names) else ()


def _guess(tiers: tuple[tuple[str, ...], ...], available: Sequence[str], what: str, where: str) -> str:
    for tier in tiers:
        found = [name for name in available if name.lower() in tier]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{where}: several columns could hold the {what} ({', '.join(found)}): name one of them, {_how(what)};"
                f" the columns are: {', '.join(available)}"
            )
    known = ", ".join(name for tier in tiers for name in tier)
    raise DataError(
        f"{where}: found no {what} column: looked for {known};"
        f" the columns are: {', '.join(available) or 'none'}; name the column, {_how(what)}"
    )


def _how(what: str) -> str:
    """How users name a column."""
    return f"with `{what}s:` in a task file or with NAME=PATH?{what}s=COLUMN in `data`"


def _guess_captions(available: Sequence[str], where: str) -> tuple[str, ...]:
    numbered = [name for name in available if _NUMBERED_CAPTION.fullmatch(name)]
    if numbered and not any(name.lower() in _CAPTION_NAMES[0] for name in available):
        return tuple(sorted(numbered, key=lambda name: int(re.findall(r"\d+", name)[-1])))
    return (_guess(_CAPTION_NAMES, available, "caption", where),)
