from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import Point, Score, read_tradeoff
from clipbench.analysis.tradeoff_figure import draw_tradeoff


def write(folder, curve, *places, n=10):
    def point(name, x, y):
        made = {"version": 1, "metric": "acc", "n": n}
        return Point(
            curve=name, label="", retrieval=Score(task="look", value=x, **made),
            concepts=(Score(task="color", value=y, **made),),
        )  # fmt: skip

    draw_tradeoff([point(ORIGINAL, 0.5, 0.5), *(point(curve, x, y) for x, y in places)], folder, "t")
    return folder


def test_several_runs_in_one_figure(run, tmp_path):
    first, second = write(tmp_path / "a", "HN", (0.6, 0.7)), write(tmp_path / "b", "HN", (0.6, 0.8))
    code, out, _ = run("tradeoff", first, second / "tradeoff.json", "-o", tmp_path, "--title", "Both")
    assert code == 0
    assert out.split() == [str(tmp_path / name) for name in ("tradeoff.json", "tradeoff.svg", "tradeoff.png")]
    assert [point.curve for point in read_tradeoff(tmp_path).points] == [ORIGINAL, "a: HN", "b: HN"]
    assert read_tradeoff(tmp_path).title == "Both"


def test_folders_of_one_name_are_told_apart(run, tmp_path):
    first, second = write(tmp_path / "1" / "x", "HN", (0.6, 0.7)), write(tmp_path / "2" / "x", "HN", (0.6, 0.8))
    assert run("tradeoff", first, second, "-o", tmp_path / "out")[0] == 0
    assert [p.curve for p in read_tradeoff(tmp_path / "out").points[1:]] == [f"{first}: HN", f"{second}: HN"]


def test_a_runs_own_figure_is_not_written_over(run, tmp_path):
    first = write(tmp_path / "a", "HN", (0.6, 0.7))
    before = (first / "tradeoff.json").read_bytes()
    for named in (first, first / "tradeoff.json"):
        code, _, err = run("tradeoff", named, "-o", first)
        assert code == 2
        assert "choose another folder" in err
    assert (first / "tradeoff.json").read_bytes() == before


def test_runs_that_do_not_compare_are_one_line(run, tmp_path):
    first, second = write(tmp_path / "a", "HN", (0.6, 0.7)), write(tmp_path / "b", "HN", (0.6, 0.8), n=3)
    code, _, err = run("tradeoff", first, second, "-o", tmp_path / "out")
    assert code == 1
    assert "does not compare" in err
    assert not (tmp_path / "out").exists()
    code, _, err = run("tradeoff", tmp_path / "none", "-o", tmp_path / "out")
    assert code == 1
    assert "not a readable trade-off" in err
