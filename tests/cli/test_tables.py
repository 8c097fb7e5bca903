"""Tables on terminals of any width: no name is cut, no line is too long."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from clipbench.cli.tables import terminal_table

HEADERS = ["task", "version", "metric", "value", "stderr", "chance", "blind", "n"]
ROWS = [
    ["flickr8k_dev_retrieval_first", "1", "t2i_recall@1", "0.6653", "± 0.0212", "", "", "300/1000"],
    ["", "", "t2i_recall@5", "0.9253", "± 0.0115", "0.0167", "0.0167", "500/1000"],
    ["scenes_color", "1", "acc", "0.5167", "± 0.0301", "0.1111", "0.2267", "3,000/22,227"],
]
NUMERIC = [False, True, False, True, False, True, True, True]


def drawn(headers, rows, numeric, width):
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(terminal_table(headers, rows, numeric, width))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert max(map(cell_len, lines)) <= width
    return lines


def test_a_table_that_fits_has_a_line_for_each_row():
    lines = drawn(HEADERS, ROWS, NUMERIC, 120)
    assert [line.split()[0] for line in lines if "─" not in line] == [
        "task", "flickr8k_dev_retrieval_first", "t2i_recall@5", "scenes_color",
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1  # the last column is aligned to the right


def test_in_80_columns_names_stand_above_their_rows():
    lines = drawn(HEADERS, ROWS, NUMERIC, 80)
    assert [line for line in lines if not line.startswith(" ")] == [
        "task", "flickr8k_dev_retrieval_first", "scenes_color",
    ]  # fmt: skip
    place = lines.index("flickr8k_dev_retrieval_first")
    assert lines[place + 1].split() == [*ROWS[0][1:4], "±", "0.0212", "300/1000"]
    assert lines[place + 2].split()[0] == "t2i_recall@5"


@pytest.mark.parametrize("width", range(30, 130, 7))
def test_nothing_is_cut_at_any_width(width):
    text = " ".join(drawn(HEADERS, ROWS, NUMERIC, width))
    assert "…" not in text
    assert all(cell in text for row in ROWS for cell in row)


def test_long_model_names_are_continued_below():
    headers = ["task", "metric", "openai/clip-vit-base-patch32", "open_clip:ViT-B-32/laion2b_s34b_b79k"]
    lines = drawn(headers, [["scenes_color", "acc", "0.5000*", "0.4000-"]], [False, False, True, True], 56)
    head = lines[: next(place for place, line in enumerate(lines) if "─" in line)]
    pieces = [piece for line in head for piece in line.split()]
    assert all(piece in name for name in [" ".join(headers)] for piece in pieces)
    assert "patch32" in pieces[-2:][0]
    assert lines[-1].split() == ["scenes_color", "acc", "0.5000*", "0.4000-"]


def test_sentences_are_wrapped_at_words():
    problem = "2 captions repeated, with the same image: each counts again"
    lines = drawn(["task", "problems"], [["scenes_retrieval", problem]], [False, False], 50)
    assert " ".join(line.removeprefix("scenes_retrieval").strip() for line in lines[2:]) == problem
    assert len(lines) == 4


def test_a_table_without_rows():
    assert drawn(["task", "value"], [], [False, False], 80)[0].split() == ["task", "value"]
