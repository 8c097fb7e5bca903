"""Which checkpoint becomes the final model."""

import json

import pytest
import torch
from safetensors.torch import load_file

from clipbench.errors import ConfigError
from clipbench.results import Measure, Results, TaskResult
from clipbench.training.checkpoint_scores import CheckpointScores
from clipbench.training.checkpoints import checkpoints_in
from clipbench.training.events import Checkpoint, StepLog
from clipbench.training.recipe import Recipe
from clipbench.training.selection import Selection, scored_tasks

RULE = "scenes_color@scenes_retrieval>=-0.02"


def results(color, retrieval):
    """Scores of a ranking and of a retrieval task, whose primary metrics have different names."""
    found = {
        "scenes_color": ("ranking", "acc", {"acc": color, "acc_other": 0.1}),
        "scenes_retrieval": ("retrieval", "t2i_recall@5", {"t2i_recall@1": 0.9, "t2i_recall@5": retrieval}),
    }
    return Results(
        tasks={
            task: TaskResult(
                task_type=task_type,
                primary_metric=primary,
                metrics={name: Measure(value) for name, value in metrics.items()},
                higher_is_better=dict.fromkeys(metrics, True),
            )
            for task, (task_type, primary, metrics) in found.items()
        }
    )


BASE = (0.50, 0.80)


@pytest.mark.parametrize(
    ("rule", "trained", "step", "satisfied"),
    [
        (RULE, [(0.55, 0.81), (0.60, 0.79), (0.70, 0.70)], 2, True),
        (RULE, [(0.55, 0.78), (0.60, 0.7799)], 1, True),  # 0.8 - 0.78 is a little more than 0.02 in binary
        (RULE, [(0.60, 0.80), (0.60, 0.90)], 1, True),  # of equals, the one that trained least
        (RULE, [(0.70, 0.60), (0.60, 0.70), (0.80, 0.65)], 2, False),  # none: the one that loses least
        (RULE, [(0.60, 0.70), (0.70, 0.70)], 2, False),
        ("scenes_color", [(0.60, 0.1), (0.70, 0.0)], 2, True),
        ("scenes_color@scenes_retrieval>=0.05", [(0.60, 0.84), (0.55, 0.85)], 2, True),
        ("scenes_retrieval@scenes_color>=0", [(0.49, 0.9), (0.50, 0.81)], 2, True),
        (RULE, [(float("nan"), 0.80), (0.51, 0.80)], 2, True),
    ],
)
def test_the_best_checkpoint_within_the_bounds_is_chosen(rule, trained, step, satisfied):
    scores = {number: results(*values) for number, values in enumerate([BASE, *trained])}
    choice = Selection.parse(rule).choose(scores)
    assert (choice.step, choice.satisfied) == (step, satisfied)
    assert choice.scores["scenes_color"] == trained[step - 1][0]


def test_without_the_base_models_score_or_a_checkpoint_there_is_no_choice():
    assert Selection.parse(RULE).choose({1: results(0.5, 0.5)}) is None
    assert Selection.parse(RULE).choose({0: results(0.5, 0.5)}) is None
    assert Selection.parse("scenes_size").choose({0: results(0.5, 0.5), 1: results(0.5, 0.5)}) is None


def test_several_bounds_hold_together():
    rule = Selection.parse(" a @ b >= -0.02 , c>=0.1")
    assert (rule.task, rule.bounds) == ("a", {"b": -0.02, "c": 0.1})


@pytest.mark.parametrize(
    "text",
    ["", "@", "a@", "a@b", "a@b>", "a@b>=", "a@b>=x", "a@b>=nan", "a@b>=-2", "a@b>=-2%", "a@>=0", "@b>=0", "a>=0",
     "a@b<=0", "a@b=0", "a@b>=0,", "a@b>=0,b>=0", "a@a>=0", "a,b@c>=0", "a b@c>=0", "a@b>=0@c>=0", "a@b>=inf"],
)  # fmt: skip
def test_another_form_is_refused(text):
    with pytest.raises(ConfigError, match=r"`select` .*give TASK@TASK>=CHANGE, such as") as caught:
        Recipe(("color",), select=text)
    assert "\n" not in str(caught.value)


def test_tasks_of_the_rule_are_scored_too():
    assert scored_tasks("", None) == ""
    assert scored_tasks("scenes_color", None) == "scenes_color"
    assert scored_tasks("scenes", RULE) == "scenes"  # the group has both
    assert scored_tasks("", RULE) == "scenes_color,scenes_retrieval"


@pytest.mark.parametrize(
    ("name", "hint"), [("scenes_colour", "did you mean scenes_color"), ("scenes", "task 'scenes'")]
)
def test_only_a_tasks_own_name_will_do(name, hint):
    with pytest.raises(ConfigError, match=hint):
        scored_tasks("scenes_color", f"scenes_color@{name}>=0")


@pytest.fixture
def scored(monkeypatch):
    """Runs whose scores are given: ``scored([(color, retrieval), …])``, the base model's first."""

    def given(values):
        def score(self, model, step, name):
            place = self._directory / "evaluations" / f"step-{step:06d}.json"
            place.parent.mkdir(exist_ok=True)
            place.write_text(results(*values[step]).to_json())
            return results(*values[step])

        monkeypatch.setattr(CheckpointScores, "score", score)

    return given


def assert_is_checkpoint(folder, step):
    saved = load_file(folder / "model.safetensors")
    chosen = load_file(folder / f"checkpoint-{step:06d}" / "model.safetensors")
    assert all(torch.equal(saved[name], chosen[name]) for name in saved)


SCORES = [BASE, (0.6, 0.80), (0.7, 0.79), (0.9, 0.5), (0.65, 0.80), (0.95, 0.4), (0.9, 0.3)]


@pytest.mark.parametrize("fields", [{}, {"ema": 0.6}, {"keep": 1}, {"lora_rank": 2, "ema": 0.6}], ids=str)
def test_the_chosen_checkpoint_is_the_final_model(start, tmp_path, scored, fields):
    scored(SCORES)
    run = start(tmp_path, select=RULE, checkpoint_every=1 / 3, epochs=2, eval_limit=5, **fields)
    list(run.run())
    assert_is_checkpoint(tmp_path, 2)
    kept = [2, 6] if "keep" in fields else [1, 2, 3, 4, 5, 6]
    assert [int(path.name[-6:]) for path in checkpoints_in(tmp_path)] == kept
    selected = json.loads((tmp_path / "finetune.json").read_text())["training"]["selected"]
    assert selected == {
        "step": 2,
        "satisfied": True,
        "scores": {"scenes_color": 0.7, "scenes_retrieval": 0.79},
        "changes": {"scenes_color": 0.2, "scenes_retrieval": -0.01},
    }
    card = (tmp_path / "README.md").read_text()
    assert "checkpoint of step 2 of 6, chosen by" in card
    assert ("exponential moving average" in card) == ("ema" in fields)
    assert r"| scenes\_color | 1 | acc | 0.7000" in card
    assert any(note.startswith(f"selected by {RULE}: step 2, scenes_color 0.7000 (+0.2000)") for note in run.notes)


def test_where_none_will_do_the_least_loss_is_taken_and_said(start, tmp_path, scored):
    scored([BASE, (0.6, 0.5), (0.55, 0.7), (0.9, 0.4)])
    run = start(tmp_path, select=RULE, checkpoint_every=1 / 3, eval_limit=5)
    list(run.run())
    assert_is_checkpoint(tmp_path, 2)
    assert any(note.startswith("warning: no checkpoint satisfies") for note in run.notes)
    assert "which none satisfies" in (tmp_path / "README.md").read_text()


def test_stopped_and_started_again_it_chooses_the_same(start, tmp_path, scored):
    scored(SCORES)
    fields = {"select": RULE, "checkpoint_every": 1 / 3, "epochs": 2, "eval_limit": 5, "keep": 1}
    for event in start(tmp_path, **fields).run():
        if isinstance(event, StepLog) and event.step == 5:
            break
    saved = [event.step for event in start(tmp_path, **fields).run() if isinstance(event, Checkpoint)]
    assert saved[-1] == 6
    assert_is_checkpoint(tmp_path, 2)
    list(start(tmp_path, **fields).run())  # a finished run
    assert_is_checkpoint(tmp_path, 2)
