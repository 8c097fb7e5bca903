"""A contact sheet as one picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from clipbench.analysis.contact_sheet.samples import ShownSample, ShownText
from clipbench.analysis.contact_sheet.sheet import Card, ContactSheet

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_INK, _SOFT, _GOOD, _BAD = "#1b1f24", "#586069", "#14691b", "#b3261e"
_SIZE, _LINE, _GAP, _MARGIN = 13, 18, 4, 20  # pixels
_BETWEEN = 8  # two samples of a card
_SINGLE, _SEVERAL, _LEAST = 300, 220, 110  # widest an image is drawn: alone, beside another one, beside many
_WIDEST = 1_420
_TALLEST = 4 / 3  # of an image, in widths
_LONGEST_WORD = 24  # characters; longer ones are broken

Word = list[tuple[str, bool]]  # parts of a word, each with whether it is bold
Line = list[tuple[int, list[Word], str]]  # words with where they start and their color


def draw_sheet(sheet: ContactSheet) -> Image.Image:
    """Draw a sheet: a heading, and below it the cards in columns, each card in the shortest one.

    Letters that the font lacks are drawn as boxes; see ``missing_letters``.
    """
    cards = [_DrawnCard(card) for card in sheet.cards]
    width = max((card.width for card in cards), default=_SINGLE)
    columns = max(1, min(len(cards), (_WIDEST - _MARGIN) // (width + _MARGIN)))
    across = columns * (width + _MARGIN) - _MARGIN
    heading = _heading(sheet, across)
    bottoms = [_MARGIN + len(heading) * _LINE + _MARGIN] * columns
    corners = []
    for card in cards:
        column = bottoms.index(min(bottoms))
        corners.append((_MARGIN + column * (width + _MARGIN), bottoms[column]))
        bottoms[column] += card.height + _MARGIN
    picture = Image.new("RGB", (across + 2 * _MARGIN, max(bottoms)), "white")
    pen = ImageDraw.Draw(picture)
    for number, (words, color) in enumerate(heading):
        _write(pen, (_MARGIN, _MARGIN + number * _LINE), words, color)
    for card, corner in zip(cards, corners, strict=True):
        card.draw(picture, pen, corner)
    return picture


def missing_letters(sheet: ContactSheet) -> str:
    """Letters of a sheet's texts that the picture's font lacks, each once."""
    from matplotlib.ft2font import FT2Font

    known = FT2Font(_font(bold=False).path).get_charmap()
    texts = {part for card in sheet.cards for sample in card.samples for text in sample.texts for part, _ in text.parts}
    return "".join(sorted({letter for part in texts for letter in part if ord(letter) not in known and letter > " "}))


@lru_cache
def _font(*, bold: bool) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: Pillow's own font has neither bold letters nor ✓."""
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf", _SIZE)


@dataclass(frozen=True)
class _DrawnCard:
    """A card's places on the sheet."""

    card: Card

    @property
    def tile(self) -> int:
        """The width of one image."""
        number = len(self.card.images)
        return _SINGLE if number == 1 else max(_LEAST, min(_SEVERAL, _WIDEST // 2 // number))

    @property
    def width(self) -> int:
        return len(self.card.images) * (self.tile + _GAP) - _GAP

    @cached_property
    def images(self) -> list[Image.Image]:
        return [_fitted(image, self.tile) for image in self.card.images]

    @property
    def tallest(self) -> int:
        return max(image.height for image in self.images)

    @cached_property
    def samples(self) -> list[list[Line]]:
        return [list(self._sample(sample)) for sample in self.card.samples]

    @property
    def height(self) -> int:
        lines = sum(map(len, self.samples))
        return self.tallest + _GAP + lines * _LINE + _BETWEEN * (len(self.samples) - 1)

    def draw(self, picture: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
        x, y = corner
        for number, image in enumerate(self.images):
            picture.paste(image, (x + number * (self.tile + _GAP), y + self.tallest - image.height))
        y += self.tallest + _GAP
        for sample in self.samples:
            for line in sample:
                for start, words, color in line:
                    _write(pen, (x + start, y), words, color)
                y += _LINE
            y += _BETWEEN

    def _sample(self, sample: ShownSample) -> Iterator[Line]:
        mark, color = ("✓", _GOOD) if sample.right else ("✗", _BAD)
        note = list(_words([(sample.note, False)]))
        name = list(_broken(_words([(sample.id, False)]), self.width - _LINE - _length(note) - _GAP))[:1]
        yield [
            (0, [[(mark, True)]], color),
            *((_LINE, words, _SOFT) for words in name),
            (self.width - _length(note), note, color),
        ]
        for text in sample.texts:
            yield from self._grid_row(text) if len(text.scores) > 1 else self._list_row(text)

    def _grid_row(self, text: ShownText) -> Iterator[Line]:
        """The text, and below it each score under its image, with signs between two of them."""
        color = _BAD if text.failed else _INK
        for words in _broken(_words(text.parts), self.width):
            yield [(0, words, _INK)]
        cells = [
            (self._center((number + 0.5) * (self.tile + _GAP), score, best), [[(score, best)]], color)
            for number, (score, best) in enumerate(zip(text.scores, text.best, strict=True))
        ]
        if len(text.scores) == 2:
            sign = "=" if all(text.best) else ">" if text.best[0] else "<"
            cells.append((self._center(self.width / 2, sign, False), [[(sign, False)]], color))
        yield cells

    def _list_row(self, text: ShownText) -> Iterator[Line]:
        """The score, what the text is, and the text."""
        color = _BAD if text.failed else _INK
        label = _length([[(f"−{text.scores[0].lstrip('−')}", True)]]) + _GAP  # in one place, whatever the sign
        start = label + _length([[("winner", False)]]) + 2 * _GAP
        for number, words in enumerate(_broken(_words(text.parts), self.width - start)):
            if number == 0:
                cells = [(0, text.scores[0], text.best[0]), (label, text.label, False)]
                yield [*((x, [[(each, bold)]], color) for x, each, bold in cells), (start, words, color)]
            else:
                yield [(start, words, color)]

    @staticmethod
    def _center(middle: float, text: str, bold: bool) -> int:
        return round(middle - _font(bold=bold).getlength(text) / 2)


def _fitted(image: Image.Image, width: int) -> Image.Image:
    """An image in the given width, or narrower where it would be too tall; small ones are enlarged."""
    scale = min(width / image.width, width * _TALLEST / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _heading(sheet: ContactSheet, width: int) -> list[tuple[list[Word], str]]:
    lines = [(words, _INK) for words in _broken(_words([(sheet.title, True)]), width)]
    for text, color in ((f"{sheet.selection} · {sheet.score}", _INK), (sheet.legend, _SOFT)):
        lines += [(words, color) for words in _broken(_words([(text, False)]), width)]
    return lines


def _words(parts: Iterable[tuple[str, bool]]) -> Iterator[Word]:
    """Words of a text whose parts are bold or not; a part may end within a word."""
    word: Word = []
    for text, bold in parts:
        for number, piece in enumerate(re.split(r"\s+", text)):
            if number and word:
                yield word
                word = []
            for start in range(0, len(piece), _LONGEST_WORD):
                if start:
                    yield word
                    word = []
                word.append((piece[start : start + _LONGEST_WORD], bold))
    if word:
        yield word


def _length(words: Sequence[Word]) -> int:
    return round(sum(_word_length(word) for word in words) + _GAP * max(0, len(words) - 1))


def _word_length(word: Word) -> float:
    return sum(_font(bold=bold).getlength(text) for text, bold in word)


def _broken(words: Iterable[Word], width: int) -> Iterator[list[Word]]:
    """Lines of words that fit."""
    line: list[Word] = []
    for word in words:
        if line and _length([*line, word]) > width:
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], words: Sequence[Word], color: str) -> None:
    x, y = float(corner[0]), corner[1]
    for word in words:
        for text, bold in word:
            font = _font(bold=bold)
            pen.text((x, y), text, color, font=font)
            x += font.getlength(text)
        x += _GAP
