import json

import pytest

from clipbench.analysis.rescoring import rescore
from clipbench.cli import main
from clipbench.errors import ResultError, UnknownName
from clipbench.results import Measure, read_results
from tests.analysis.leaderboard.builders import lines, make_results, write


@pytest.fixture(scope="module")
def logged(tiny_clip, tmp_path_factory):
    """A run over all three families, with samples."""
    folder = tmp_path_factory.mktemp("rescoring")
    tasks = "scenes_color,scenes_retrieval,scenes_inpaint_color"
    with pytest.raises(SystemExit) as caught:
        main(["eval", "-M", str(tiny_clip), "-t", tasks, "-L", "12", "-o", str(folder), "-s", "--format", "json"])
    assert not caught.value.code
    (path,) = folder.rglob("results_*.json")
    return path


def test_rescored_metrics_are_those_of_the_run(logged):
    results = read_results(logged)
    found = {rescored.task: rescored for rescored in rescore(logged)}
    assert found.keys() == results.tasks.keys()
    for task, rescored in found.items():
        assert set(rescored.metrics) == set(results.tasks[task].higher_is_better)
        for metric, mean in rescored.metrics.items():
            assert Measure(mean.mean, mean.stderr) == results.tasks[task].metrics[metric]
        assert {part: mean.mean for part, mean in rescored.breakdown.items()} == {
            part: score.value for part, score in results.tasks[task].breakdown.items()
        }
        assert rescored.changed == []
        said = [problem for problem in results.tasks[task].problems if " tied: " in problem]
        assert [note for note in rescored.notes if " tied: " in note] == [f"{task}: {note}" for note in said]


def changed(logged, tmp_path, task, change):
    (samples,) = logged.parent.glob(f"samples_{task}_*.jsonl")
    first, *others = [json.loads(line) for line in samples.read_text().splitlines()]
    copy = tmp_path / samples.name
    copy.write_text("".join(json.dumps(line) + "\n" for line in [change(first), *others]))
    return copy


def test_a_line_that_was_judged_otherwise_is_named(logged, tmp_path):
    copy = changed(logged, tmp_path, "scenes_color", lambda line: {**line, "acc": 1 - line["acc"]})
    (rescored,) = rescore(copy)
    assert rescored.changed == [json.loads(copy.read_text().splitlines()[0])["doc_id"]]
    assert rescored.metrics["acc"].mean == read_results(logged).metric("scenes_color", "acc")


def test_a_tie_is_no_win(logged, tmp_path):
    copy = changed(
        logged, tmp_path, "scenes_color", lambda line: {**line, "scores": [0.5] * len(line["scores"]), "acc": 1.0}
    )
    assert len(rescore(copy)[0].changed) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda line: {**line, "scores": line["scores"][:-1]},
        lambda line: {**line, "scores": "high"},
        lambda line: {name: value for name, value in line.items() if name != "texts"},
        lambda line: [line],
    ],
)
def test_a_line_that_makes_no_sense_is_named(logged, tmp_path, change):
    with pytest.raises(ResultError, match=r"\.jsonl:1: not a sample of scenes_color"):
        rescore(changed(logged, tmp_path, "scenes_color", change))


def test_a_repeated_sample_is_refused(tmp_path):
    """21 lines of 20 samples were 21 samples."""
    logged = [{**line, "task": "scenes_color"} for line in lines("+-" * 10)]
    path = write(tmp_path, make_results(values={"scenes_color": 0.5}, n=20), {"scenes_color": logged})
    (found,) = rescore(path)
    assert (found.metrics["acc"].count, found.notes) == (20, [])
    path = write(tmp_path, make_results(values={"scenes_color": 0.5}, n=20), {"scenes_color": [*logged, logged[0]]})
    with pytest.raises(ResultError, match=r"jsonl:21: sample '0' appears twice, also in line 1"):
        rescore(path)


def test_a_log_that_lost_a_line_is_told(tmp_path):
    logged = [{**line, "task": "scenes_color"} for line in lines("+-" * 10)]
    path = write(tmp_path, make_results(values={"scenes_color": 0.5}, n=20), {"scenes_color": logged[:-1]})
    assert rescore(path)[0].notes == ["scenes_color: 19 samples are logged, but the result file scored 20"]
    path.unlink()
    (log,) = path.parent.iterdir()
    assert rescore(log)[0].notes == []
    log.write_text("")
    with pytest.raises(ResultError, match="it contains no samples"):
        rescore(log)


def test_a_damaged_log_does_not_stop_the_others(tmp_path):
    logged = {task: [{**line, "task": task} for line in lines("+-+-")] for task in ("scenes_color", "scenes_size")}
    path = write(tmp_path, make_results(values=dict.fromkeys(logged, 0.5), n=4), logged)
    (log,) = path.parent.glob("samples_scenes_color*")
    log.write_bytes(log.read_bytes()[:-30])
    said = []
    (found,) = rescore(path, on_error=said.append)
    assert (found.task, found.metrics["acc"].mean) == ("scenes_size", 0.5)
    assert len(said) == 1
    assert f"{log}:4: not a JSON line" in said[0]
    with pytest.raises(ResultError, match="not a JSON line"):
        rescore(path)


@pytest.mark.parametrize("name", ["scenes", "scenes_*", "color", "t.yaml"])
def test_a_log_of_a_group_a_pattern_or_a_file_is_of_no_task(tmp_path, name):
    path = write(tmp_path, make_results(values={name: 0.5}), {name: lines("+")})
    with pytest.raises(UnknownName, match="unknown task"):
        rescore(path)


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("rank", 2.5), ("rank", True), ("direction", "x")])
def test_a_query_of_no_direction_or_rank_is_refused(tmp_path, field, value):
    query = {
        "doc_id": "t2i:1", "group": "t2i", "images": ["i"], "texts": ["x"], "scores": [0.5], "correct": True,
        "direction": "t2i", "rank": 1, "t2i_recall@1": 1.0, "t2i_recall@5": 1.0, "t2i_recall@10": 1.0,
    }  # fmt: skip
    place = {"task_type": "retrieval", "metric": "t2i_recall@5", "values": {"scenes_retrieval": 1.0}}
    assert rescore(write(tmp_path, make_results(**place), {"scenes_retrieval": [query]}))[0].changed == []
    with pytest.raises(ResultError, match="t2i:1 is not a sample of scenes_retrieval"):
        rescore(write(tmp_path, make_results(**place), {"scenes_retrieval": [{**query, field: value}]}))
