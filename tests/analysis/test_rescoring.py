import json

import pytest

from clipbench.analysis.rescoring import rescore
from clipbench.cli import main
from clipbench.errors import ResultError
from clipbench.results import Measure, read_results


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
