"""Files of schema version 1, written by clipbench at commit e7b8825."""

import json
from pathlib import Path

import pytest

from clipbench.analysis.rescoring import rescore
from clipbench.results import Measure, read_results

FOLDER = Path(__file__).parent / "schema_1"
EVALUATION = "results_2026-11-26T12-11-11.397375.json"


def both(name):
    """A file's content as it is, and as it is read."""
    return json.loads((FOLDER / name).read_text()), read_results(FOLDER / name)


@pytest.mark.parametrize("name", [EVALUATION, "interpolation.json", "study.json"])
def test_every_value_of_a_task_survives(name):
    old, results = both(name)
    assert list(results.tasks) == list(old["tasks"])
    for task, report in old["tasks"].items():
        result, row = results.tasks[task], dict(old["results"][task])
        words = {"family": "task_type", "unjudgeable": "invalid"}
        for key in report.keys() - {"breakdown"}:
            assert getattr(result, words.get(key, key)) == report[key], key
        assert {part: entry.model_dump() for part, entry in result.breakdown.items()} == report["breakdown"]
        assert row.pop("alias") == task
        for metric, measure in result.metrics.items():
            assert measure == Measure(row.pop(f"{metric},none"), row.pop(f"{metric}_stderr,none"))
        assert result.chance_corrected == row.pop(f"{report['primary_metric']}_centred,none", None)
        assert row == {}
        assert result.counts.model_dump() == old["n-samples"][task]
        assert (result.version, result.higher_is_better) == (old["versions"][task], old["higher_is_better"][task])
        assert result.declaration == {words.get(key, key): value for key, value in old["configs"][task].items()}


@pytest.mark.parametrize("name", [EVALUATION, "interpolation.json", "study.json"])
def test_every_fact_of_the_run_survives(name):
    old, results = both(name)
    for key in (
        "model_name",
        "clipbench_version",
        "git_hash",
        "date",
        "pretty_env_info",
        "total_evaluation_time_seconds",
    ):
        assert getattr(results, key) == old[key]
    config, facts = old["config"], old["config"].pop("model_facts")
    assert results.model_fingerprint == facts.pop("fingerprint")
    assert results.model_info == {"text_batching": facts.pop("text_path"), **facts}
    assert results.profile == config.pop("profile", None)
    interpolation, step = config.pop("interpolation", None), config.pop("step", None)
    assert (results.interpolation and results.interpolation.model_dump()) == interpolation
    assert (results.study_step and {"hash": results.study_step.hash, **results.study_step.inputs}) == step
    assert results.config.model_dump(exclude_unset=True) == config


def test_groups_survive():
    _, results = both(EVALUATION)
    group = results.groups["toys"]
    assert (group.tasks, group.metric, group.mean, group.complete) == (
        ["toy_color", "toy_size"], "acc", Measure(0.0), False,
    )  # fmt: skip


@pytest.mark.parametrize("name", [EVALUATION, "interpolation.json", "study.json"])
def test_written_again_it_reads_the_same(tmp_path, name):
    _, results = both(name)
    (tmp_path / "new.json").write_text(results.to_json())
    assert json.loads(results.to_json())["schema_version"] == 2
    assert read_results(tmp_path / "new.json") == results


def test_its_sample_logs_rescore_to_the_same_values():
    (rescored,) = rescore(FOLDER, "scenes_inpaint_size")
    assert rescored.changed == []
    assert rescored.metrics["acc"].mean == both(EVALUATION)[1].metric("scenes_inpaint_size", "acc")
