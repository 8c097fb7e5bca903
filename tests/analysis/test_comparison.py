import pytest

from clipbench.analysis.comparison import compare_runs
from clipbench.errors import ResultError, UnknownName
from clipbench.results import read_results
from tests.analysis.leaderboard.builders import line, lines, make_results, write
from tests.reference import paired


def run(folder, name, samples, **facts):
    return write(folder / name, make_results(name, dict.fromkeys(samples, 0.5), **facts), samples)


def test_two_runs_by_hand(tmp_path):
    a = run(tmp_path, "a", {"t": lines("++++--+-", per_image=2)})
    b = run(tmp_path, "b", {"t": lines("+-+----+", per_image=2)})
    (found,) = compare_runs(a, b)
    assert (found.task, found.metric, found.n, found.clusters) == ("t", "acc", 8, 4)
    assert (found.value_a, found.value_b, found.interval.difference) == (5 / 8, 3 / 8, -2 / 8)
    assert (found.only_a, found.only_b) == (["1", "3", "6"], ["7"])
    assert found.p_mcnemar == pytest.approx(2 * (1 + 4) / 2**4)
    assert found.p_value == paired.sign_flips([1, 1, 0, 0])
    assert found.p_holm == found.p_value
    assert (found.model_a, found.model_b, found.verdict) == ("a", "b", "not significant")
    assert found.notes == []


def test_the_verdict_follows_the_corrected_test(tmp_path):
    a = run(tmp_path, "a", {"t": lines("++++++"), "u": lines("------"), "v": lines("+++++-")})
    b = run(tmp_path, "b", {"t": lines("------"), "u": lines("++++++"), "v": lines("-----+")})
    found = {each.task: each for each in compare_runs(a, b)}
    # Of six images, all in one direction: p = 2 / 2^6 = 0.031, and three times that of three tasks.
    assert found["t"].p_holm == pytest.approx(3 * 2 / 2**6)
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys("tuv", "not significant")
    alone = {name: compare_runs(a, b, name)[0] for name in "tuv"}
    assert {name: each.verdict for name, each in alone.items()} == {
        "t": "A better", "u": "B better", "v": "not significant",
    }  # fmt: skip


def test_exchanging_the_runs_turns_the_sign_only(tmp_path):
    a = run(tmp_path, "a", {"t": lines("++-+-+++--+-" * 4, per_image=3)})
    b = run(tmp_path, "b", {"t": lines("+---+++-+--+" * 4, per_image=3)})
    (one,), (other,) = compare_runs(a, b), compare_runs(b, a)
    assert one.p_value == other.p_value
    assert one.interval.difference == -other.interval.difference
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low), abs=0.03)
    assert compare_runs(a, b) == [one]  # seeded


def test_a_run_and_itself_do_not_differ(tmp_path):
    run(tmp_path, "a", {"t": lines("+-+-")})
    (found,) = compare_runs(tmp_path, tmp_path / "a")
    assert (found.p_value, found.p_mcnemar, found.interval.low, found.interval.high) == (1, 1, 0, 0)
    (note,) = found.notes
    assert "t: A and B are the same results" in note


def test_two_runs_of_one_model_and_ties_are_said(tmp_path):
    a = run(tmp_path, "a", {"t": [{**each, "tied": True} for each in lines("----")]}, weights="same", day=1)
    b = run(tmp_path, "b", {"t": [{**lines("-")[0], "tied": True}, *lines("++++")[1:]]}, weights="same", day=2)
    (found,) = compare_runs(a, b)
    weights, all_tied, one_tied = found.notes
    assert weights == "t: A (a) and B (b) have the same weights"
    assert all_tied.startswith("t: A: all 4 samples tied")
    assert one_tied == "t: B: 1 of 4 samples tied: an equal score is not a win"


def test_holm_counts_the_tasks_compared(tmp_path):
    tasks = {"t": "+" * 6, "u": "+" * 8, "v": "+" * 3}
    a = run(tmp_path, "a", {task: lines(pattern) for task, pattern in tasks.items()})
    b = run(tmp_path, "b", {task: lines("-" * len(pattern)) for task, pattern in tasks.items()})
    by_task = {each.task: each for each in compare_runs(a, b)}
    assert by_task["u"].p_holm == pytest.approx(3 * 2 / 2**8)
    assert by_task["t"].p_holm == pytest.approx(2 * 2 / 2**6)
    assert by_task["v"].p_holm == pytest.approx(2 / 2**3)
    (alone,) = compare_runs(a, b, "u")
    assert alone.p_holm == alone.p_value
    assert [each.task for each in compare_runs(a, b, "[tu]")] == ["t", "u"]


def test_runs_that_did_not_see_the_same_samples_are_told(tmp_path):
    a = run(tmp_path, "a", {"t": lines("+++")})
    b = run(tmp_path, "b", {"t": lines("+-+-++")[1:]})
    (found,) = compare_runs(a, b)
    assert (found.n, found.unshared_a, found.unshared_b) == (2, 1, 3)
    assert "did not see the same samples: 1 were scored by A alone, 3 by B alone" in found.notes[0]


def test_one_name_for_two_samples_is_told_and_left_out(tmp_path):
    other = [{**each, "texts": ["another text", *each["texts"][1:]]} for each in lines("-")]
    a = run(tmp_path, "a", {"t": lines("++")})
    b = run(tmp_path, "b", {"t": [*other, *lines("--")[1:]]})
    (found,) = compare_runs(a, b)
    assert (found.n, found.altered, found.only_a) == (1, ["0"], ["1"])
    assert "other texts or images" in found.notes[0]


def test_versions_that_differ_are_told(tmp_path):
    a = run(tmp_path, "a", {"t": lines("++")})
    b = run(tmp_path, "b", {"t": lines("+-")}, version=2)
    assert "version 1 of the task, B with 2" in compare_runs(a, b)[0].notes[0]


def test_retrieval_compares_text_to_image_and_minds_the_size_of_the_set(tmp_path):
    def queries(pattern):
        both = []
        for each in lines(pattern):
            both.append({**each, "t2i_recall@5": each["acc"]})
            both.append({**each, "doc_id": f"i{each['doc_id']}", "i2t_recall@5": 0.0})
        return both

    facts = {"task_type": "retrieval", "metric": "t2i_recall@5"}
    a = run(tmp_path, "a", {"t": queries("++-+")}, n=4, **facts)
    b = run(tmp_path, "b", {"t": queries("+--+")}, n=400, **facts)
    (found,) = compare_runs(a, b)
    assert (found.n, found.only_a) == (4, ["1"])
    assert "sets of other sizes" in found.notes[0]


def test_of_several_runs_of_a_model_the_newest_with_samples_counts(tmp_path):
    write(tmp_path / "a", make_results("m", day=1), {"t": lines("--")})
    write(tmp_path / "a", make_results("m", day=2), {"t": lines("+-")})
    write(tmp_path / "a", make_results("m", day=3))
    b = run(tmp_path, "b", {"t": lines("--")})
    assert compare_runs(tmp_path / "a", b)[0].only_a == ["0"]
    old = next((tmp_path / "a").rglob("results_2026-01-02*.json"))
    assert compare_runs(old, b)[0].only_a == []


def test_bad_input_is_told_in_one_line(tmp_path):
    a = run(tmp_path, "a", {"t": lines("++")})
    run(tmp_path, "b", {"t": lines("+-")})
    with pytest.raises(ResultError, match="samples of several models; name one of"):
        compare_runs(a, tmp_path)
    with pytest.raises(ResultError, match="no task that both have samples of"):
        compare_runs(a, run(tmp_path, "c", {"u": lines("+-")}))
    with pytest.raises(UnknownName, match="no samples of a task 'tt'; available: t"):
        compare_runs(a, a, "tt")
    with pytest.raises(ResultError, match="have no sample in common"):
        compare_runs(a, run(tmp_path, "d", {"t": [line("x", True)]}))
    with pytest.raises(ResultError, match="acc is 0.5; only 0 and 1 can be compared"):
        compare_runs(a, run(tmp_path, "e", {"t": [{**line("0", True), "acc": 0.5}]}))
    with pytest.raises(ResultError, match="not a sample of t"):
        compare_runs(a, run(tmp_path, "f", {"t": [{"acc": 1.0}]}))
    (samples,) = run(tmp_path, "h", {"t": lines("++")}).parent.glob("samples_*")
    samples.write_bytes(samples.read_bytes()[:-20] + b"\xff")
    with pytest.raises(ResultError, match=r"jsonl:\d: not a JSON line"):
        compare_runs(a, tmp_path / "h")
    with pytest.raises(ResultError, match="no samples there"):
        compare_runs(a, write(tmp_path / "g", make_results("g")))


def tables_of(tmp_path, a="+++++++-", b="-------+"):
    """Eight images: A is right on seven, B on the other one; p = 2 · (1 + 8) / 2⁸ = 0.0703."""
    runs = []
    for model, pattern in {"one_a": a, "two": b}.items():
        results = make_results(model, {"t": pattern.count("+") / 8}, n=8, weights=model[0] * 64)
        runs.append(read_results(write(tmp_path, results, {"t": lines(pattern)})))
    return compare_runs(*runs, resamples=200)


def test_results_are_compared_where_they_lie_and_shown_as_a_table(tmp_path):
    found = tables_of(tmp_path)
    frame = found.to_dataframe()
    assert frame.loc[0, ["task", "value_a", "value_b", "difference", "verdict"]].tolist() == [
        "t", 7 / 8, 1 / 8, -6 / 8, "not significant",
    ]  # fmt: skip
    assert frame.loc[0, "p_holm"] == pytest.approx(18 / 256)
    html = found._repr_html_()
    for part in ("A: one_a and B: two", ">87.5<", ">12.5<", ">−75.0<", ">0.070<", ">not significant<"):
        assert part in html


def test_the_better_one_is_bold_where_that_is_significant(tmp_path):
    """All eight differ: p = 2 / 2⁸."""
    found = tables_of(tmp_path, "+" * 8, "-" * 8)
    latex, markdown = found.to_latex(caption="50 %", label="tab:x"), found.to_markdown()
    assert r"t & \textbf{100.0} & 0.0 & $-$100.0 & [$-$100.0, $-$100.0] & 0.008 \\" in latex
    assert r"Task & one\_a & two & B $-$ A & 95 \% & p \\" in latex
    assert r"\caption{50 \%}" in latex
    assert r"| t | **100.0** | 0.0 | −100.0 | \[−100.0, −100.0\] | 0.008 |" in markdown
    assert "**" not in tables_of(tmp_path / "other").to_markdown()
