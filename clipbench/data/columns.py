"""Which columns of a table hold the images, the captions and the fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipbench.data.caption_cells import captions_in
from clipbench.data.dataset import HubTable
from clipbench.errors import DataError

# In order of preference: a line counts only if the table has no name of an earlier line.
_IMAGE_NAMES = (
    ("image", "images", "img", "jpg", "jpeg", "png"),
    ("file_name", "filename", "filepath", "file_path", "image_path", "image_file", "image_name", "img_path", "path"),
    ("file_names", "filepaths", "image_paths", "paths"),
)
_CAPTION_NAMES = (
    ("caption", "captions"),
    ("text", "texts", "txt", "sentence", "sentences"),
    ("answer", "title", "description", "alt_text", "image_caption", "comment"),
)
_NUMBERED_CAPTION = re.compile(r"(?P<base>caption|sentence|text)s?[_ -]?(?P<number>\d{1,9})", re.IGNORECASE)
_FALSE_CAPTION = re.compile(r"((neg|negative|false)_captions?|foils?|hard_text)(_?\d+)?", re.IGNORECASE)
_URL_NAME = re.compile(r"([a-z]+[_ -])?(url|uri|link)s?", re.IGNORECASE)
# An unused column is reported if its name has a word for images or captions and none that `_ABOUT` matches.
_IMAGE_WORDS = frozenset(("image", "images", "img", "jpg", "jpeg", "png", "photo", "picture"))
_CAPTION_WORDS = frozenset(
    ("caption", "captions", "text", "texts", "txt", "sentence", "sentences", "title", "description", "alt", "comment")
)
_ABOUT = re.compile(
    "ids?|no|num|number|id?x|index|width|height|size|license|ur[li]|link|hash|key|date|count|length|split|type|format"
    "|name|path|file|md|sha|lang|language|source"
)
_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names by role.

    Attributes:
        images: Image columns.
        captions: Text columns: one for each image column, or any number for a single image column.
        fields: Columns that rows can be filtered by.
        false_captions: Text columns of captions that are false of the image.
        constants: Fields with the same value in every row.
        unused: Columns that look like images or captions but were not chosen, if columns were guessed.
        label: Column of the class, which becomes the field ``label`` of rows.
    """

    images: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    false_captions: tuple[str, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    label: str = ""

    @property
    def problem(self) -> str:
        """A note for the user on unused columns; empty if there are none."""
        if not self.unused:
            return ""
        used = shorten((*self.images, *self.captions))
        return f"columns not used: {shorten(self.unused)} (used: {used}; choose others with images= and captions=)"

    @property
    def readable(self) -> tuple[str, ...]:
        """All columns but those of images, without duplicates."""
        return tuple(dict.fromkeys((*self.captions, *self.false_captions, *self.fields, *filter(None, [self.label]))))

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
    _require((*own.false_captions, *own.required, *own.further_images), available, where)
    images = _declared(own.images, available, where)
    if own.label:
        _require((own.label,), available, where)
        images = images or (_guess(_IMAGE_NAMES, available, "image", where),)
        return Columns(images, fields=tuple(name for name in own.fields if name in available), label=own.label)
    captions = _declared(own.captions, available, where)
    guessed = [*(() if images else (_IMAGE_WORDS,)), *(() if captions else (_CAPTION_WORDS,))]
    images = images or (_guess(_IMAGE_NAMES, available, "image", where),)
    captions = captions or guess_captions(available, where)
    if len(images) > 1 and len(captions) not in (1, len(images)):
        raise DataError(
            f"{where}: {len(images)} image columns ({shorten(images)}) with {len(captions)} caption columns"
            f" ({shorten(captions)}): name one caption column for each image, {_how('caption')}"
        )
    found = own.false_captions or tuple(name for name in available if _FALSE_CAPTION.fullmatch(name))
    false = tuple(name for name in found if name not in (*captions, *own.required))
    there = set(available)
    fields = (*own.required, *(name for name in own.fields if name in there and name not in own.required))
    images = (*images, *(name for name in own.further_images if name not in images))
    chosen = {*images, *captions, *false, *fields}
    unused = [name for name in available if name not in chosen and any(_is_content(name, words) for words in guessed)]
    return Columns(images, captions, fields, false, own.constants, tuple(unused))


def shorten(names: Sequence[str]) -> str:
    """Names for a message, of which there may be 100,000."""
    lines = (" ".join(name[:200].split()) for name in names[:_NAMES_SHOWN])
    shown = ", ".join(name if len(name) <= 60 else f"{name[:60]} …" for name in lines)
    return shown + (f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else "")


def fields_of(row: Mapping[str, object], columns: Columns) -> dict[str, object]:
    """The fields of one row by name; the column of the class as ``label``."""
    fields = {name: row[name] for name in columns.fields}
    return {**fields, "label": row[columns.label]} if columns.label else fields


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
        value = captions_in(row.get(name), f"{where}, column {name}")
        if isinstance(value, list):
            captions.extend(value)
        elif value is not None or not ragged:
            captions.append(value or "")
    return tuple(text for text in captions if text or not ragged)


def missing_column(name: str, available: Sequence[str], where: str) -> DataError:
    """The error for a missing column, with the existing columns and close matches."""
    close = difflib.get_close_matches(name, available[:1000], 3, 0.6)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return DataError(f"{where}: no column {name!r}{hint}; the columns are: {shorten(available) or 'none'}")


def _require(names: Sequence[str], available: Sequence[str], where: str) -> None:
    for name in names:
        if name not in available:
            raise missing_column(name, available, where)


def _declared(names: tuple[str, ...], available: Sequence[str], where: str) -> tuple[str, ...]:
    """The names, or none of them if one is missing; several columns cannot be guessed, so all of them must exist."""
    if len(names) > 1:
        _require(names, available, where)
    return names if all(name in available for name in names) else ()


def _guess(
    tiers: tuple[tuple[str, ...], ...], available: Sequence[str], what: str, where: str, how: str | None = None
) -> str:
    how = how or _how(what)
    for tier in tiers:
        found = [name for name in available if name.lower() in tier]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{where}: several columns could hold the {what} ({shorten(found)}): name one of them, {how};"
                f" the columns are: {shorten(available)}"
            )
    urls = [name for name in available if _URL_NAME.fullmatch(name)]
    if what == "image" and urls:
        raise DataError(f"{where}: found no image column, but URLs ({shorten(urls)}): {download_advice(urls[0])}")
    known = ", ".join(name for tier in tiers for name in tier)
    raise DataError(
        f"{where}: found no {what} column: looked for {known};"
        f" the columns are: {shorten(available) or 'none'}; name the column, {how}"
    )


def download_advice(column: str) -> str:
    """Advice for a table with URLs in place of images."""
    return (
        "download the images first, for instance with"
        f" `img2dataset --url_list TABLE --url_col {column} --caption_col CAPTION --output_folder FOLDER`; give FOLDER"
    )


def _how(what: str) -> str:
    """How users name a column."""
    return f"with `{what}s:` in a task file or with NAME=PATH?{what}s=COLUMN in `data`"


def guess_captions(available: Sequence[str], where: str, how: str | None = None) -> tuple[str, ...]:
    """Find the columns of captions by well-known names.

    ``caption_1``, ``caption_2``, … by number, after a ``caption`` beside them; else a single column.

    Args:
        available: The table's columns.
        where: The file or repository, for messages.
        how: How users name a column, for messages.

    Raises:
        DataError: No column fits, or several.
    """
    numbered: dict[str, list[tuple[int, str]]] = {}
    for name in available:
        if match := _NUMBERED_CAPTION.fullmatch(name):
            numbered.setdefault(match["base"].lower(), []).append((int(match["number"]), name))
    for tier in _CAPTION_NAMES:
        plain = [name for name in available if name.lower() in tier]
        bases = [base for base in ("caption", "text", "sentence") if base in tier and base in numbered]
        if bases and (not plain or (plain[0].lower() == bases[0] and len(plain) == 1)):
            return (*plain, *(name for _, name in sorted(numbered[bases[0]])))
        if plain:
            break
    return (_guess(_CAPTION_NAMES, available, "caption", where, how),)


def _is_content(name: str, words: frozenset[str]) -> bool:
    """Whether a column's name says that it holds images, or captions: ``wrong_image``, not ``image_width``."""
    found = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:200]).lower()))
    return not found.isdisjoint(words) and not any(map(_ABOUT.fullmatch, found))
