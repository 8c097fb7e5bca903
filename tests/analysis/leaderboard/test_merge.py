import json
import random

import pytest

from clipbench import build_leaderboard
from clipbench.analysis.leaderboard.board import read_board, write_board
from clipbench.errors import ResultError
from clipbench.metrics import mean_stderr
from tests.analysis.leaderboard.builders import line, lines, make_results, write


def scores(board):
    return {(score.model.split("@")[0], score.task): score for score in board.scores}


def test_a_board_holds_what_the_results_say(tmp_path):
    path = write(tmp_path, make_results(values={"t": 0.625, "u": 0.25}, breakdown={"red": 0.7}))
    board = build_leaderboard([path])
    score = scores(board)["org/model", "t"]
    assert (score.value, score.stderr, score.n, score.chance, score.centred, score.rank) == (
        0.625,
        0.01,
        100,
        0.25,
        0.5,
        1,
    )
    assert (score.version, score.date, score.git_hash) == (1, "2026-01-01T00:00:00.000+00:00", "abc")
    assert score.breakdown["red"].value == 0.7
    (facts,) = board.models.values()
    assert (facts.name, facts.parameters, facts.revision, facts.weights) == ("org/model", 123_456, "f" * 40, "a" * 64)
    assert (facts.precision, facts.preprocessor) == ("float32", "CLIPImageProcessorPil")
    assert board.history == board.notes == board.refused == []


def test_pairs_carry_their_concept_as_a_tag(tmp_path):
    results = make_results(values={"pairs": 0.5, "search": 0.5})
    results.tasks["pairs"].declaration |= {"concept": None, "tags": ["pairs", "size"]}
    results.tasks["search"].declaration |= {"concept": None, "tags": ["retrieval"]}
    tasks = build_leaderboard([write(tmp_path, results)]).tasks
    assert (tasks["pairs"].concept, tasks["search"].concept) == ("size", None)


def test_ranks_are_shared_by_equals_and_skip_what_does_not_compare(tmp_path):
    for name, value in {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.1}.items():
        write(tmp_path, make_results(name, {"t": value}, weights=name * 64))
    write(tmp_path, make_results("limited", {"t": 0.99}, limit=10, weights="1" * 64))
    write(tmp_path, make_results("missing", {"t": 0.98}, complete=False, weights="2" * 64))
    found = scores(build_leaderboard([tmp_path]))
    ranks = {model: score.rank for (model, _), score in found.items()}
    assert ranks == {"a": 1, "b": 2, "c": 2, "d": 4, "limited": None, "missing": None}
    assert found["limited", "t"].flags == ["limited"]
    assert found["missing", "t"].flags == ["incomplete"]


def test_the_newest_run_wins_and_both_are_in_the_history(tmp_path):
    write(tmp_path / "x", make_results(values={"t": 0.60}, day=2))
    write(tmp_path / "y", make_results(values={"t": 0.61}, day=1))
    board = build_leaderboard([tmp_path])
    assert [score.value for score in board.scores] == [0.60]
    assert [score.value for score in board.history] == [0.60, 0.61]


@pytest.mark.parametrize("lacking", [{"limit": 10}, {"complete": False}])
def test_a_newer_run_that_does_not_compare_leaves_a_whole_one_in_its_place(tmp_path, lacking):
    write(tmp_path, make_results(values={"t": 0.6}, day=1))
    write(tmp_path, make_results(values={"t": 0.9}, day=2, **lacking))
    board = build_leaderboard([tmp_path])
    assert [(score.value, score.flags) for score in board.scores] == [(0.6, [])]
    assert len(board.history) == 2


def test_merging_in_any_order_and_twice_gives_one_board(tmp_path):
    paths = [
        write(tmp_path, make_results(f"m{day % 3}", {"t": day / 10, "u": 0.5}, day=day, weights=str(day % 3) * 64))
        for day in range(8)
    ]
    once = build_leaderboard(paths)
    target = tmp_path / "board.json"
    random.Random(0).shuffle(paths)
    for path in [*paths, *paths[:3], paths[0]]:
        write_board(target, build_leaderboard([path], board=target))
    again = read_board(target)
    assert again.model_copy(update={"date": ""}) == once.model_copy(update={"date": ""})
    both = build_leaderboard([target], board=target)
    assert both.scores == once.scores
    assert both.history == once.history


def test_the_inputs_of_a_board_are_not_needed_to_merge_into_it(tmp_path):
    path = write(tmp_path, make_results("old", breakdown={"red": 0.5}), {"t": lines("+-+")})
    write_board(tmp_path / "b.json", build_leaderboard([path]))
    for file in path.parent.iterdir():
        file.unlink()
    merged = scores(
        build_leaderboard([write(tmp_path, make_results("new", weights="b" * 64))], board=tmp_path / "b.json")
    )
    assert merged["old", "t"].breakdown["red"].value == 0.5
    assert merged["old", "t"].confusion == {"red": {"red": 2, "blue": 1}}


def test_an_older_version_of_a_task_is_flagged_and_not_ranked(tmp_path):
    write(tmp_path, make_results("old", {"t": 0.9}, version=1))
    write(tmp_path, make_results("new", {"t": 0.5}, version=2, weights="b" * 64))
    board = build_leaderboard([tmp_path])
    found = scores(board)
    assert (found["old", "t"].flags, found["old", "t"].rank) == (["old_version"], None)
    assert (found["new", "t"].flags, found["new", "t"].rank) == ([], 1)
    assert board.tasks["t"].version == 2


def test_files_that_contradict_each_other_are_named(tmp_path):
    first = write(tmp_path / "x", make_results(values={"t": 0.60}))
    second = write(tmp_path / "y", make_results(values={"t": 0.70}))  # one date: somebody wrote into a file
    board = build_leaderboard([tmp_path])
    assert board.scores[0].flags == ["contradicted"]
    assert board.scores[0].rank == 1
    assert str(first) in board.notes[0]
    assert str(second) in board.notes[0]
    assert "0.6000" in board.notes[0]


@pytest.mark.parametrize(("other", "contradicted"), [(0.62, False), (0.63, True)])
def test_two_samples_of_a_hundred_may_round_otherwise_on_another_day(tmp_path, other, contradicted):
    write(tmp_path, make_results(values={"t": 0.60}, day=1))
    write(tmp_path, make_results(values={"t": other}, day=2))
    assert bool(build_leaderboard([tmp_path]).notes) == contradicted


def test_two_weights_under_one_name_have_a_row_each(tmp_path):
    write(tmp_path, make_results("m", {"t": 0.6}, weights="a" * 64, day=1))
    write(tmp_path, make_results("m", {"t": 0.7}, weights="b" * 64, day=2))
    board = build_leaderboard([tmp_path])
    assert sorted(facts.label for facts in board.models.values()) == ["m (aaaaaaa)", "m (bbbbbbb)"]
    assert "2 different weights" in board.notes[0]


def test_group_means_need_every_task_of_the_group(tmp_path):
    write(tmp_path, make_results("whole", {"x": 0.6, "y": 0.8}, groups=("pair",)))
    write(tmp_path, make_results("half", {"x": 0.9}, groups=("pair",), weights="b" * 64))
    write(tmp_path, make_results("limited", {"x": 0.9, "y": 0.9}, groups=("pair",), weights="c" * 64, limit=3))
    (mean,) = build_leaderboard([tmp_path]).means
    assert (mean.model, mean.group, mean.tasks, mean.rank) == ("whole@aaaaaaaaaaaa", "pair", 2, 1)
    assert mean.value == pytest.approx(0.7)
    assert mean.stderr == pytest.approx(mean_stderr([0.01, 0.01]))


def test_a_group_of_clipbench_needs_its_tasks_that_nobody_scored(tmp_path):
    write(tmp_path, make_results(values={"inpaintcoco_color": 0.6, "inpaintcoco_size": 0.6}, groups=("inpaintcoco",)))
    assert build_leaderboard([tmp_path]).means == []


def test_confusions_come_from_the_logged_samples(tmp_path):
    tied = {**line("tie", False), "scores": [0.3, 0.1, 0.3], "tied": True}
    write(tmp_path, make_results(), {"t": [line("1", True), line("2", False, best=2), line("3", False), tied]})
    assert build_leaderboard([tmp_path]).scores[0].confusion == {"red": {"red": 1, "green": 2, "blue": 1}}


def test_broken_samples_cost_the_confusions_only(tmp_path):
    path = write(tmp_path, make_results(), {"t": [{"doc_id": "1"}]})
    board = build_leaderboard([path])
    assert board.scores[0].confusion == {}
    assert "samples_t_" in board.notes[0]


ODD = {
    "date": "date: must be less than or equal to 253402300799",
    "info": "model_info: must be a mapping",
    "parameters": "model_info: parameters: must be a whole number",
}


def bad_files(folder):
    good = make_results().to_json()
    strange = json.loads(good)
    strange["results"]["t"]["acc,none"] = 61.0
    odd = {}
    for name, place, value in (
        ("date", ("date",), 1e30),
        ("info", ("model_info",), "none"),
        ("parameters", ("model_info", "parameters"), "many"),
    ):
        odd[name] = json.loads(good)
        inner = odd[name]
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    lm_eval = {"results": {"arc": {"acc,none": 0.5}}, "configs": {}, "versions": {"arc": 1}, "n-shot": {}, "config": {}}
    contents = {
        "truncated": (good[: len(good) // 2], "not a readable result file"),
        "empty": ("", "not a readable result file"),
        "lm_eval": (json.dumps(lm_eval), "it has no schema_version"),
        "list": ("[]", "not a clipbench result file"),
        "newer": (good.replace('"schema_version": 2', '"schema_version": 99'), "schema version 99"),
        "percent": (json.dumps(strange), "not a share between 0 and 1"),
        "nan": (good.replace('"acc,none": 0.5', '"acc,none": NaN'), ""),
        "deep": ("[" * 100_000, ""),
        **{name: (json.dumps(data), ODD[name]) for name, data in odd.items()},
        "binary": (b"\xff\xfe\x00".decode("latin-1"), "not a"),
    }
    for name, (text, _) in contents.items():
        (folder / f"results_{name}.json").write_text(text, encoding="latin-1" if name == "binary" else "utf-8")
    return {f"results_{name}.json": message for name, (_, message) in contents.items()}


def test_what_is_no_result_is_refused_by_name(tmp_path):
    write(tmp_path, make_results())
    expected = bad_files(tmp_path)
    board = build_leaderboard([tmp_path])
    assert len(board.scores) == 1
    refused = {refusal.file.rsplit("/", 1)[1]: refusal.reason for refusal in board.refused}
    assert refused.keys() == expected.keys()
    for name, message in expected.items():
        assert message in refused[name]
        assert "\n" not in refused[name]


def test_failed_tasks_are_refused_by_name(tmp_path):
    write(tmp_path, make_results(values={"t": 0.5}))
    write(tmp_path, make_results("m", {"t": 0.5, "u": 0.6}, error="rows are missing", weights="b" * 64))
    board = build_leaderboard([tmp_path])
    assert [score.task for score in board.scores] == ["t"]
    assert [(refusal.task, "rows are missing" in refusal.reason) for refusal in board.refused] == [
        ("t", True),
        ("u", True),
    ]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "results_a.json").write_text("{")
    with pytest.raises(ResultError, match="results_a.json: not a readable result file"):
        build_leaderboard([tmp_path])
    with pytest.raises(ResultError, match="no results_"):
        build_leaderboard([tmp_path / "nowhere"])


def test_a_file_that_is_no_board_is_never_written_over(tmp_path):
    path = write(tmp_path, make_results())
    other = tmp_path / "package.json"
    for text in ('{"name": "x"}', "{", '{"kind": "clipbench leaderboard", "schema_version": 7}'):
        other.write_text(text)
        with pytest.raises(ResultError, match=r"package\.json"):
            build_leaderboard([path], board=other)
        assert other.read_text() == text


def test_a_thousand_files(tmp_path):
    text = make_results(values={"t": 0.5, "u": 0.5}).to_json()
    for number in range(1_000):
        folder = tmp_path / f"m{number % 50}"
        folder.mkdir(exist_ok=True)
        date = f'"date": {1.7e9 + number}'
        (folder / f"results_{number}.json").write_text(
            text.replace("org/model", f"org/m{number % 50}").replace('"date": 1767225600.0', date)
        )
    board = build_leaderboard([tmp_path])
    assert (len(board.models), len(board.scores), len(board.history)) == (50, 100, 2_000)
