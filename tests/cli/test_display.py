import re

import pytest
from rich.console import Console
from tqdm.auto import tqdm

from clipbench.cli.display import Bar, Display, _line
from clipbench.cli.library_bars import library_bars
from clipbench.cli.streams import write

NOW = 1000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("clipbench.cli.display.monotonic", lambda: NOW)


def ago(seconds):
    return NOW - seconds


@pytest.mark.parametrize(
    ("bar", "times", "count"),
    [
        (Bar("loading", None, 0, started=ago(3)), "0:03", ""),
        (Bar("reading", None, 1200, started=ago(3)), "0:03", "1,200"),
        (Bar("t", 100, 0, started=ago(3)), "0:03", "0/100"),
        (Bar("t", 100, 20, started=ago(30)), "2:00 left", "20/100"),
        (Bar("t", 10_000, 1, started=ago(1)), "2:46:39 left", "1/10,000"),
        (Bar("t", 100, 100, started=ago(3)), "0:03", "100/100"),
        (Bar("resumed", 100, 60, first=50, started=ago(10)), "0:40 left", "60/100"),  # ten in ten seconds
        (Bar("resumed", 100, 50, first=50, started=ago(3)), "0:03", "50/100"),
    ],
)
def test_times_and_counts(bar, times, count):
    assert (bar.times(), bar.count()) == (times, count)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
@pytest.mark.parametrize(
    "name", ["scenes_color", "flickr8k_dev_retrieval_first: ranking", "loading model /a/long/path" * 3]
)
def test_a_line_fits_and_no_name_is_cut(name, width):
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(_line(Bar(name, 300, 20, started=ago(3)), "*", width))
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    assert "20/300" in lines[0]
    squeezed = re.sub(r"\s", "", re.sub(r"━\S*|20/300|0:\d\d left|\*", "", captured.get()))
    assert squeezed == re.sub(r"\s", "", name)


class FakeTerminal(Display):
    """Shown although stderr is no terminal; without the delay and the thread."""

    def __init__(self):
        super().__init__()
        self._is_open = True

    def _start_soon(self):
        pass

    def lines(self):
        console = Console(width=80, color_system=None, force_terminal=True)
        with console.capture() as captured:
            console.print(self)
        return [line.strip() for line in captured.get().splitlines()]


def test_a_part_stands_below_the_whole_until_the_whole_moves():
    display = FakeTerminal()
    display.advance_outer("alphas", 0, 3)
    display.advance("scenes_color", 0, None)
    display.advance("scenes_color", 10, 40)
    display.encoded(64, 1234)
    whole, part, details = display.lines()
    assert whole.startswith("alphas")
    assert "0/3" in whole
    assert part.startswith("scenes_color")
    assert "10/40" in part
    assert details == "64 images and 1,234 texts encoded"
    display.advance_outer("alphas", 1, 3)
    assert [line.split()[0] for line in display.lines()] == ["alphas"]


def test_a_new_name_begins_anew():
    display = FakeTerminal()
    display.advance("one", 10, 40)
    display.encoded(1, 0)
    display.advance("two", 30, 40)
    (line,) = display.lines()
    assert line.startswith("two")
    assert "left" not in line  # it starts at 30


def test_names_do_not_steer_the_terminal():
    display = FakeTerminal()
    display.advance("loading \x1b[31mred\nmodel", 0, None)
    display.advance_outer("a\x07", 1, 2)
    display.advance("loading \x1b[31mred\nmodel", 0, None)
    assert [line[: line.index("  ")] for line in display.lines()] == ["a?", "loading ?[31mred model"]


def test_nothing_is_shown_where_stderr_is_no_terminal(capsys):
    display = Display()
    with display.open("starting"):
        display.advance("task", 1, 2)
        assert not display.print_above("a line")
        write("a line\n", err=True)
    assert capsys.readouterr() == ("", "a line\n")


def test_bars_of_libraries_are_a_line_of_the_display(capsys):
    display = FakeTerminal()
    display.advance("loading model org/name", 0, None)
    with library_bars(display._show_details):
        with tqdm(desc="model.safetensors", total=605_000_000, unit="B", unit_scale=True) as bar:
            bar.update(302_500_000)
            bar.refresh()
            name, details = display.lines()
            assert name.startswith("loading model org/name")
            assert details.startswith("model.safetensors:  50%")
            assert "302M/605M" in details
        assert len(display.lines()) == 1
    assert capsys.readouterr() == ("", "")
    with tqdm(desc="after", total=2) as bar:
        bar.update(2)
    assert "after: 100%" in capsys.readouterr().err
