"""Contact sheets of samples whose similarities are given by hand."""

import csv
import math
import re

import numpy as np
import pytest
import yaml
from PIL import Image

import clipbench
from clipbench.analysis.contact_sheet import data_uri, draw_sheet, html_page, make_contact_sheet, missing_letters
from clipbench.analysis.contact_sheet.differences import mark_differences
from clipbench.results.files import find_result_files
from tests.oracles import numbered_image

# Text to its similarities with the images of even and of odd number.
SIMILARITIES = {
    "A red cup.": (0.5, 0.4),
    "A blue cup.": (0.4, 0.6),
    "a dog bites a man": (0.3, 0.35),
    "a man bites a dog": (0.2, 0.7),
    "a tie": (0.25, 0.25),
    "no tie": (0.1, 0.3),
    "a red <b>mat</b>": (0.5, 0),
    "a blue <b>mat</b>": (0.25, 0),
    "the green hat": (0.2, 0),
    "the black hat": (0.312, 0),
    "one white fox": (-0.2, 0),
    "one orange fox": (-0.2, 0),
}
PAIRS = [
    (0, 1, "A red cup.", "A blue cup."),
    (0, 1, "a dog bites a man", "a man bites a dog"),
    (2, 3, "a tie", "no tie"),
]
RANKING = [(0, "a red <b>mat</b>"), (2, "one white fox"), (0, "the green hat")]


class Encoder:
    """Gives features with these similarities, and -0.5 for other texts."""

    def encode_image(self, images):
        numbers = [image.getpixel((0, 0))[0] for image in images]
        return [[1.0, 0.0, 0.0] if number % 2 == 0 else [0.0, 1.0, 0.0] for number in numbers]

    def encode_text(self, texts):
        values = [SIMILARITIES.get(text, (-0.5, -0.5)) for text in texts]
        return [[a, b, math.sqrt(1 - a * a - b * b)] for a, b in values]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    for number in range(4):
        numbered_image(number).resize((60, 40)).save(folder / f"{number}.png")
    pairs = [("i0", "i1", "c0", "c1"), *((f"{i}.png", f"{j}.png", c, d) for i, j, c, d in PAIRS)]
    ranking = [("image", "caption"), *((f"{i}.png", c) for i, c in RANKING)]
    declared = [
        ("toy_pairs", "pairs", pairs, {"images": ["i0", "i1"], "captions": ["c0", "c1"]}, {}),
        ("toy_color", "ranking", ranking, {"images": "image", "captions": "caption"}, {"concept": "color"}),
    ]
    for name, task_type, rows, columns, more in declared:
        with (folder / f"{name}.csv").open("w", newline="") as handle:
            csv.writer(handle).writerows(rows)
        task = {"name": name, "task_type": task_type, "dataset": {"path": f"{name}.csv", **columns}, **more}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
    clipbench.evaluate(
        clipbench.load_model(Encoder()), str(folder), output_path=folder / "out", log_samples=True, name="a/b"
    )
    (results,) = find_result_files(folder / "out")

    def sheet(task, *arguments):
        return make_contact_sheet(results, task, *arguments, include_path=(folder,))

    return sheet


def written(text):
    """A text with its differing parts in brackets."""
    return "".join(f"[{part}]" if differs else part for part, differs in text.parts)


def test_pairs_show_which_image_each_caption_prefers(logged):
    sheet = logged("toy_pairs")
    assert (sheet.title, sheet.selection) == ("a/b · toy_pairs", "2 wrong")
    assert re.fullmatch(r"acc 33\.3 ± [\d.]+ % of 3 samples, chance 25\.0 %", sheet.score)
    (first,), (second,) = (card.samples for card in sheet.cards)
    assert [(written(text), text.scores, text.best, text.failed) for text in first.texts] == [
        ("a [dog] bites a [man]", ("0.300", "0.350"), (False, True), True),
        ("a [man] bites a [dog]", ("0.200", "0.700"), (False, True), False),
    ]
    assert [(text.best, text.failed) for text in second.texts] == [((True, True), True), ((False, True), False)]
    assert not first.right


def test_an_image_is_shown_once_with_all_its_samples(logged):
    sheet = logged("toy_color", "all")
    assert sheet.selection == "3 samples"
    assert [[sample.right for sample in card.samples] for card in sheet.cards] == [[True, False], [False]]
    right, wrong = sheet.cards[0].samples
    assert [(written(text), text.scores, text.best, text.label, text.failed) for text in right.texts] == [
        ("a [red] <b>mat</b>", ("0.500",), (True,), "true", False),
        ("a [blue] <b>mat</b>", ("0.250",), (False,), "next", False),
    ]
    assert [(written(text), text.scores, text.best, text.label, text.failed) for text in wrong.texts] == [
        ("the [green] hat", ("0.200",), (False,), "true", False),
        ("the [black] hat", ("0.312",), (True,), "winner", True),
    ]
    assert (right.note, wrong.note) == ("margin +0.250", "margin −0.112")
    (tied,) = sheet.cards[1].samples
    assert [(text.scores, text.best, text.label) for text in tied.texts] == [
        (("−0.200",), (True,), "true"), (("−0.200",), (True,), "tie"),
    ]  # fmt: skip
    assert tied.note == "margin +0.000"


def test_the_selection_says_what_it_leaves_out(logged):
    assert [logged("toy_color", which, 1).selection for which in ("wrong", "right", "all")] == [
        "1 of 2 wrong", "1 right", "1 of 3 samples",
    ]  # fmt: skip


def test_the_picture_has_each_image_once_and_whole(logged):
    picture = np.asarray(draw_sheet(logged("toy_color", "all")))
    for number in (0, 2):  # 60 x 40 pixels, enlarged to a width of 300
        assert (picture == (number, 0, 77)).all(axis=2).sum() == 300 * 200
    red = (picture == (0xB3, 0x26, 0x1E)).all(axis=2).any()
    assert red
    assert not (np.asarray(draw_sheet(logged("toy_color", "right"))) == (0xB3, 0x26, 0x1E)).all(axis=2).any()


def test_the_page_escapes_and_marks(logged):
    page = html_page(logged("toy_color", "all"))
    assert "a <b>red</b> &lt;b&gt;mat&lt;/b&gt;" in page
    assert page.count("<img") == page.count("data:image/") == 2
    assert (page.count('aria-label="right"'), page.count('aria-label="wrong"')) == (1, 2)
    assert "<b>3 samples</b> · acc 33.3" in page
    assert "http" not in page
    pairs = html_page(logged("toy_pairs"))
    assert pairs.count('class="failed"') == 2
    assert "<b>0.350</b>" in pairs


@pytest.mark.parametrize(
    ("text", "other", "marked"),
    [
        ("a cat", "a black cat", "a cat"),
        ("a black cat", "a cat", "a [black] cat"),
        ("It is in front of a bus.", "It is behind a bus.", "It is [in front of] a bus."),
        ("", "a", ""),
        ("same", "same", "same"),
        ("ein Hund", "eine Katze", "ein Hund"),  # nothing in common
    ],
)
def test_differing_words(text, other, marked):
    parts = mark_differences(text, other)
    assert "".join(f"[{part}]" if differs else part for part, differs in parts) == marked
    assert "".join(part for part, _ in parts) == text


def test_letters_that_the_font_lacks_are_named(logged, monkeypatch):
    assert missing_letters(logged("toy_color")) == ""
    monkeypatch.setitem(SIMILARITIES, "x", (0, 0))
    sheet = logged("toy_color")
    text = sheet.cards[0].samples[0].texts[0]
    object.__setattr__(text, "parts", (("赤い кот", False), ("猫", True)))
    assert missing_letters(sheet) == "い猫赤"
    assert draw_sheet(sheet).width > 300


def test_a_photograph_in_a_page_is_small():
    noise = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    assert data_uri(Image.fromarray(noise), 480).startswith("data:image/jpeg")
    assert data_uri(numbered_image(3), 480).startswith("data:image/png")
