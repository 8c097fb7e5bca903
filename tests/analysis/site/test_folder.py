"""Where a site may be written, and what happens to files that are there already."""

import pytest

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.site.folder import site_files, write_site
from clipbench.errors import ConfigError, ResultError

BOARD = Board().to_json()
COMMON = [("leaderboard.json", BOARD), ("style.css", "")]
FIRST = [("index.html", "1"), ("models/a.html", "a"), ("README.md", "x"), *COMMON]
SECOND = [("index.html", "2"), ("models/b.html", "b"), ("README.md", "y"), *COMMON]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_site_is_replaced_and_everything_else_stays(tmp_path):
    (tmp_path / "CNAME").write_text("example.org")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref")
    write_site(tmp_path, iter(FIRST))
    write_site(tmp_path, iter(SECOND))
    assert content(tmp_path) == {
        "CNAME": "example.org", ".git/HEAD": "ref", "README.md": "x", "leaderboard.json": BOARD,
        "index.html": "2", "style.css": "", "models/b.html": "b",
    }  # fmt: skip
    assert site_files(tmp_path).keys() == {"leaderboard.json", "index.html", "style.css", "models/b.html"}


def test_a_site_that_cannot_be_finished_changes_nothing(tmp_path):
    write_site(tmp_path / "s", iter(FIRST))

    def failing():
        yield "index.html", "2"
        raise ResultError("no")

    with pytest.raises(ResultError, match="no"):
        write_site(tmp_path / "s", failing())
    assert content(tmp_path / "s") == dict(FIRST)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("name", ["index.html", "style.css", "images/mine.jpg", "leaderboard.json"])
def test_files_of_something_else_are_never_replaced(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="in it is no part of a site; remove it or name another folder"):
        write_site(tmp_path, iter(FIRST))
    assert content(tmp_path) == {name: "mine"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="name a folder"):
        write_site(tmp_path / "f", iter(FIRST))


def test_results_are_no_site(tmp_path):
    with pytest.raises(ResultError, match="holds no site that `clipbench leaderboard` wrote"):
        site_files(tmp_path)
