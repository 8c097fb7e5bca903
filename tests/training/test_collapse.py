import json
import math

import pytest
import torch

from clipbench.training.collapse import CollapseWatch, uninformed_loss
from clipbench.training.recipe import Recipe


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"negatives": 0}, math.log(16)),
        ({"negatives": 3}, math.log(16)),  # they replace columns
        ({"negatives": 3, "negatives_in": "image_to_text"}, math.log(16)),
        ({"negatives": 3, "loss": "negclip"}, (math.log(16 + 48) + math.log(16)) / 2),
        ({"negatives": 3, "loss": "svlc"}, math.log(16) + math.log(4)),
        # Labels .985 and three of .005; every candidate has probability 1/4, and counts (3/4)² of its cross-entropy.
        ({"negatives": 3, "loss": "fsc"}, math.log(16) + 0.5 * (3 / 4) ** 2 * math.log(4)),
    ],
)
def test_the_loss_of_a_model_to_which_all_looks_alike(fields, expected):
    assert uninformed_loss(Recipe(("color",), batch_size=16, **fields)) == pytest.approx(expected, abs=1e-6)


def test_a_loss_that_stays_there_is_said_once():
    said = []
    watch = CollapseWatch(Recipe(("color",), batch_size=8), said.append)
    level = math.log(8)
    for step in range(1, 20):
        watch.see(step, level, 14.3 / step)
    watch.see(20, level - 0.05, 1.0)  # it moved: counted from here
    assert said == []
    for step in range(21, 100):
        watch.see(step, level + 1e-4, 14.3 if step == 21 else 0.155)
    assert len(said) == 1
    assert "since step 21 the loss is 2.08" in said[0]
    assert "the logit scale went from 14.3 to 0.155" in said[0]


def test_a_collapsed_training_warns_and_logs_the_scale(start, tmp_path):
    """A tower that gives every text the same feature: nothing can be learnt."""
    run = start(tmp_path, epochs=9, max_steps=24, checkpoint_every=100.0)
    with torch.no_grad():
        before = float(run.setup.model.logit_scale)
        for parameter in run.setup.model.module.text_projection.parameters():
            parameter.zero_()
    run.setup.model.module.text_projection.requires_grad_(False)
    list(run.run())
    (warning,) = [note for note in run.notes if note.startswith("warning: since step 1 the loss is 2.079")]
    assert "a batch of 8" in warning
    log = [json.loads(line) for line in (tmp_path / "training_log.jsonl").read_text().splitlines()]
    assert len(log) == 24
    assert log[0]["logit_scale"] == pytest.approx(before)
    assert all(entry["loss"] == pytest.approx(math.log(8), abs=1e-4) for entry in log)
