import json

import pytest

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import Point, Score
from clipbench.errors import ConfigError
from clipbench.evaluation.api import evaluate
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.models import load_model
from clipbench.results import read_results
from clipbench.training import interpolation_scores as interpolated_scores
from clipbench.training.interpolation_scores import (
    alpha_folders,
    alphas_on_front,
    interpolation_points,
    score_interpolations,
)
from tests.seeded import build_clip
from tests.toy import write_toy

CAPTIONS = [f"a {color} {thing}" for color in ("white", "red", "black") for thing in ("dog", "car", "boat")]


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    root = tmp_path_factory.mktemp("ends")
    return tuple(load_model(str(build_clip(root / str(seed), seed=seed))) for seed in (0, 1))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A color ranking and a retrieval task."""
    folder = tmp_path_factory.mktemp("toy")
    color = write_toy(folder / "color", CAPTIONS)
    return [color, write_toy(folder / "look", CAPTIONS, name="toy_look", task_type="retrieval", concept=None)]


def score(ends, tasks, out, alphas=(0.0, 0.5, 1.0), save=(), on_note=lambda text: None, **options):
    chosen = EvaluationOptions(**options)
    plans = prepare_tasks([str(task) for task in tasks], chosen)
    return score_interpolations(*ends, alpha_folders(out, alphas), plans, chosen, save=save, on_note=on_note)


def numbers(results):
    return {task: (result.metrics, result.chance_corrected) for task, result in results.tasks.items()}


def test_each_alpha_scores_as_its_model_alone_does(ends, tasks, tmp_path):
    scored = dict(score(ends, tasks, tmp_path, save=[0.5]))
    alone = dict(zip((0.0, 1.0), ends, strict=True))
    alone[0.5] = load_model(str(tmp_path / "alpha-0.50" / "model"))
    for alpha, model in alone.items():
        expected = evaluate(model, [str(task) for task in tasks])
        assert numbers(scored[alpha]) == numbers(expected)
        assert scored[alpha].model_fingerprint == model.fingerprint
        (file,) = (tmp_path / f"alpha-{alpha:.2f}").glob("results_*.json")
        assert read_results(file).to_json() == scored[alpha].to_json()
    assert len({results.model_name for results in scored.values()}) == 3
    assert len({str(numbers(results)) for results in scored.values()}) > 1


@pytest.fixture
def scored_alphas(monkeypatch):
    """The α that were really scored."""
    seen = []
    inner = interpolated_scores._score

    def spy(model, folder, plans, options, identity, *calls):
        seen.append(identity.alpha)
        return inner(model, folder, plans, options, identity, *calls)

    monkeypatch.setattr(interpolated_scores, "_score", spy)
    return seen


def test_a_second_run_scores_only_what_is_new(ends, tasks, tmp_path, scored_alphas):
    first = dict(score(ends, tasks, tmp_path, alphas=(0.0, 1.0)))
    second = dict(score(ends, tasks, tmp_path))
    assert scored_alphas == [0.0, 1.0, 0.5]
    assert list(second) == [0.0, 0.5, 1.0]
    assert all(second[alpha].to_json() == first[alpha].to_json() for alpha in first)


def test_other_weights_tasks_or_options_are_scored_anew(ends, tasks, tmp_path, scored_alphas):
    dict(score(ends, tasks, tmp_path, alphas=[0.5]))
    for changed in (
        lambda: score(ends, tasks, tmp_path, alphas=[0.5], limit=3),
        lambda: score(ends[::-1], tasks, tmp_path, alphas=[0.5]),
        lambda: score(ends, tasks[:1], tmp_path, alphas=[0.5]),
        lambda: score(ends, tasks, tmp_path, alphas=[0.5], text_template="a photo of {}"),
        lambda: score(ends, tasks, tmp_path, alphas=[0.5], lowercase=True),
    ):
        scored_alphas.clear()
        dict(changed())
        assert scored_alphas == [0.5]
    scored_alphas.clear()
    dict(score(ends, tasks, tmp_path, alphas=[0.5], batch_size=2))
    assert scored_alphas == []  # scores do not depend on the batch size


def test_other_data_are_scored_anew(ends, tmp_path, scored_alphas):
    task = write_toy(tmp_path / "toy", CAPTIONS)
    dict(score(ends, [task], tmp_path / "out", alphas=[0.5]))
    write_toy(tmp_path / "toy", CAPTIONS[:-1])
    dict(score(ends, [task], tmp_path / "out", alphas=[0.5]))
    assert scored_alphas == [0.5, 0.5]


def test_other_images_of_the_same_names_are_scored_anew(ends, tmp_path, scored_alphas):
    task = write_toy(tmp_path / "toy", CAPTIONS)
    first = dict(score(ends, [task], tmp_path / "out", alphas=[0.5]))
    (tmp_path / "toy/0.png").write_bytes((tmp_path / "toy/8.png").read_bytes())
    again = dict(score(ends, [task], tmp_path / "out", alphas=[0.5]))
    dict(score(ends, [task], tmp_path / "out", alphas=[0.5]))
    assert scored_alphas == [0.5, 0.5]
    assert first[0.5].interpolation.inputs != again[0.5].interpolation.inputs


def test_results_that_are_damaged_or_failed_are_scored_anew(ends, tasks, tmp_path, scored_alphas):
    dict(score(ends, tasks, tmp_path, alphas=[0.5]))
    (file,) = (tmp_path / "alpha-0.50").glob("results_*.json")
    whole = file.read_text()
    file.write_text(whole[:-50])
    said = []
    dict(score(ends, tasks, tmp_path, alphas=[0.5], on_note=said.append))
    assert [line.startswith(f"{file}: not a readable result file") for line in said] == [True]
    data = json.loads(whole)
    for other in (tmp_path / "alpha-0.50").glob("results_*.json"):
        other.unlink()
    data["tasks"]["toy_color"]["error"] = "an image was broken"
    file.write_text(json.dumps(data))
    dict(score(ends, tasks, tmp_path, alphas=[0.5]))
    assert scored_alphas == [0.5] * 3


def test_a_run_that_ends_early_keeps_what_it_has(ends, tasks, tmp_path, scored_alphas):
    fingerprint = ends[0].fingerprint
    stopped = score(ends, tasks, tmp_path)
    next(stopped)
    stopped.close()
    assert ends[0].fingerprint == fingerprint
    assert list(dict(score(ends, tasks, tmp_path))) == [0.0, 0.5, 1.0]
    assert scored_alphas == [0.0, 0.5, 1.0]


def test_saving_needs_no_scoring_again(ends, tasks, tmp_path, scored_alphas):
    dict(score(ends, tasks, tmp_path, alphas=[0.5]))
    dict(score(ends, tasks, tmp_path, alphas=[0.5], save=[0.5]))
    assert scored_alphas == [0.5]
    assert load_model(str(tmp_path / "alpha-0.50" / "model")).id.endswith("alpha-0.50/model")


def test_only_a_scored_alpha_can_be_saved(ends, tasks, tmp_path):
    with pytest.raises(ConfigError, match="alpha 0.30: only a scored alpha can be saved"):
        next(score(ends, tasks, tmp_path, alphas=[0.5], save=[0.3]))


def test_the_original_is_a_point_of_its_own_where_it_was_scored(ends, tasks, tmp_path):
    scored = dict(score(ends, tasks, tmp_path, alphas=(0.0, 1.0)))
    points = interpolation_points(scored, "base", "tuned")
    assert [(point.curve, point.label, point.alpha) for point in points] == [
        (ORIGINAL, "base", 0.0), ("tuned", "α = 0.00", 0.0), ("tuned", "α = 1.00", 1.0),
    ]  # fmt: skip
    assert points[0].scores == points[1].scores
    assert [point.curve for point in interpolation_points({1.0: scored[1.0]}, "base", "tuned")] == ["tuned"]


def test_alphas_on_the_front_of_each_task():
    def point(alpha, x, **ys):
        made = {"version": 1, "metric": "acc", "n": 1}
        scores = tuple(Score(task=task, value=y, **made) for task, y in ys.items())
        return Point(curve="c", label="", retrieval=Score(task="look", value=x, **made), concepts=scores, alpha=alpha)

    points = [point(0.0, 0.6, color=0.5, size=0.9), point(0.5, 0.6, color=0.7, size=0.9), point(1.0, 0.5, color=0.8)]
    assert alphas_on_front(points, "color") == {0.5, 1.0}
    assert alphas_on_front(points, "size") == {0.0, 0.5}
    assert alphas_on_front(points, "look") == set()
