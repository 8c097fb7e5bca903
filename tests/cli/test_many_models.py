"""`clipbench eval` of several models: one table, tests between them, and one that fails ends no other."""

import json

import pytest

from clipbench.analysis.standings import Answers, Standing, standings
from clipbench.types import SampleResult
from tests.toy import write_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


def alone(run, model, toy):
    code, out, err = run("eval", "--model", model, "--tasks", toy, "--format", "json")
    assert code == 0, err
    return json.loads(out)["results"]


def test_several_models_give_the_numbers_of_one_at_a_time(run, toy, tiny_clip, tmp_path):
    code, out, err = run(
        "eval", "--model", "demo", "--model", tiny_clip, "--tasks", toy, "--format", "json", "-o", tmp_path
    )
    assert code == 0, err
    found = json.loads(out)
    for model in ("demo", str(tiny_clip)):
        assert found["results"][model]["results"] == alone(run, model, toy)
    assert len(list(tmp_path.glob("*/results_*.json"))) == 2
    assert [row["model"] for row in found["standings"]] == ["demo", str(tiny_clip)]
    assert any(row["best"] for row in found["standings"])


def test_a_model_that_fails_does_not_end_the_others(run, toy, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    code, out, err = run("eval", "--model", broken, "--model", "demo", "--tasks", toy)
    assert code == 1
    assert str(broken) in err
    assert "failed" in out
    assert "*" in out
    header, _, row = (line.split() for line in out.splitlines()[:3])
    # Two captions, a keyword each: each one's own is unknown from the other's.
    assert (header[:4], row[:4]) == (["task", "metric", "chance", "blind"], ["toy_color", "acc", "0.1111", "0.0000"])


def test_files_name_models(run, toy, tmp_path):
    (tmp_path / "models.txt").write_text("# some models\ndemo  # the small one\n\n")
    code, out, err = run("eval", "--model", tmp_path / "models.txt", "--tasks", toy)
    assert code == 0, err
    assert "toy_color" in out
    (tmp_path / "models.yaml").write_text("- model: demo\n  model_args: {dtype: float32}\n")
    assert run("eval", "--model", tmp_path / "models.yaml", "--tasks", toy)[1] == out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.txt", "# nothing\n", "names no model"),
        ("m.yaml", "a: b\n", "expected a list of models"),
        ("m.yaml", "- [demo]\n", "entry 1 is neither a name nor a mapping"),
        ("m.yaml", "- model: demo\n  arguments: {}\n", "entry 1 is neither a name nor a mapping"),
        ("m.txt", "demo\ndemo\n", "two models are called demo"),
    ],
)
def test_files_that_name_none_are_refused(run, toy, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    code, _, err = run("eval", "--model", tmp_path / name, "--tasks", toy)
    assert code == 2
    assert message in err


def answer(name, right, cluster):
    return SampleResult(name, {"acc": float(right)}, right, 0.5, False, "g", cluster)


def test_the_best_is_marked_and_the_others_tested_against_it():
    """Of ten images, A has all right, B none, C nine: p is 2/2^10, doubled by Holm, and 1 for one discordant image."""
    from types import SimpleNamespace

    answers = Answers()
    for number in range(10):
        for model, right in (("A", True), ("B", False), ("C", number > 0)):
            answers.add(model, "t", answer(str(number), right, str(number)), "acc")

    def results(value):
        primary = SimpleNamespace(value=value, stderr=None)
        return SimpleNamespace(tasks={"t": SimpleNamespace(primary=primary, primary_metric="acc")})

    found = standings({"A": results(1.0), "B": results(0.0), "C": results(0.9), "D": None}, ["t"], answers)
    assert found == [
        Standing("t", "A", "acc", 1.0, None, True, None),
        Standing("t", "B", "acc", 0.0, None, False, pytest.approx(2 * 2 / 2**10)),
        Standing("t", "C", "acc", 0.9, None, False, 1.0),
        Standing("t", "D", "", None, None, False, None),
    ]
    assert [row.worse for row in found] == [False, True, False, False]
