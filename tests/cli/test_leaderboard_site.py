import pytest

from clipbench.analysis.leaderboard.board import read_board
from tests.analysis.leaderboard.builders import lines, make_results, write


@pytest.fixture
def results(tmp_path):
    write(tmp_path / "out", make_results("a", {"t": 0.75}), {"t": lines("+++-")})
    write(tmp_path / "out", make_results("b", {"t": 0.25}, weights="b" * 64), {"t": lines("--+-")})
    return tmp_path / "out"


def test_a_site_is_written_and_named(run, results, tmp_path):
    code, out, err = run("leaderboard", results, "--site", tmp_path / "site")
    assert (code, out) == (0, f"{tmp_path}/site/index.html\n")
    assert "t: mistakes are shown without images: unknown task 't'" in err
    assert len(list((tmp_path / "site/models").iterdir())) == 2
    assert (tmp_path / "site/tasks/t.html").is_file()
    assert len(read_board(tmp_path / "site/leaderboard.json").models) == 2


def test_a_board_may_be_written_at_the_same_time_and_keeps_its_places(run, results, tmp_path):
    code, out, _ = run("leaderboard", results, "--site", tmp_path / "site", "-o", tmp_path / "b.json", "--gallery", 0)
    assert code == 0
    assert out.splitlines()[0] == f"{tmp_path}/site/index.html"
    assert all(score.file.startswith(str(tmp_path)) for score in read_board(tmp_path / "b.json").scores)


def test_a_models_page_disappears_with_the_model(run, results, tmp_path):
    run("leaderboard", results, "--site", tmp_path / "site")
    (tmp_path / "site/CNAME").write_text("example.org")
    assert run("leaderboard", results / "a", "--site", tmp_path / "site")[0] == 0
    assert len(list((tmp_path / "site/models").iterdir())) == 1
    assert (tmp_path / "site/CNAME").is_file()


def test_a_folder_of_something_else_is_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    code, _, err = run("leaderboard", tmp_path / "nowhere", "--site", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert f"--site {tmp_path}: index.html in it is no part of a site" in err
    assert (tmp_path / "index.html").read_text() == "mine"
