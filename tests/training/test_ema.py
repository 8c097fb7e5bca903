"""The average of the weights: what it is, where it goes, and that resuming does not change it."""

import pytest
import torch
from safetensors.torch import load_file

from clipbench.training.checkpoints import checkpoints_in
from clipbench.training.ema import trained_weights
from clipbench.training.events import Checkpoint, StepLog

DECAY = 0.7


def followed(run):
    """Run to the end; the weights before the first step and after each."""

    def now():
        return {name: weight.detach().clone() for name, weight in trained_weights(run.setup.model.module).items()}

    seen, update = [now()], run._average.update

    def watched():
        seen.append(now())
        update()

    run._average.update = watched
    list(run.run())
    return seen


def by_hand(seen):
    """The sum written out, in float64: every step's weights with the share that is left of them."""
    last = len(seen) - 1
    shares = [DECAY**last] + [(1 - DECAY) * DECAY ** (last - step) for step in range(1, last + 1)]
    return {name: sum(s * weights[name].double() for s, weights in zip(shares, seen, strict=True)) for name in seen[0]}


@pytest.mark.parametrize("fields", [{}, {"freeze": ("text",)}], ids=["all", "frozen"])
def test_the_model_that_is_saved_is_the_average(start, tmp_path, fields):
    run = start(tmp_path, ema=DECAY, checkpoint_every=1 / 3, **fields)
    seen = followed(run)
    saved = load_file(tmp_path / "model.safetensors")
    expected = by_hand(seen)
    for name, weight in expected.items():
        assert torch.allclose(saved[name].double(), weight, atol=1e-6), name
        assert not torch.equal(saved[name], seen[-1][name]) or torch.equal(seen[0][name], seen[-1][name]), name
    newest = checkpoints_in(tmp_path)[-1]
    assert all(torch.equal(saved[name], weight) for name, weight in load_file(newest / "model.safetensors").items())
    state = load_file(newest / "training_state.safetensors")
    assert {name for name in state if name.startswith("average/")} == {f"average/{name}" for name in expected}
    assert all(torch.equal(state[f"weight/{name}"], weight) for name, weight in seen[-1].items())


def test_of_low_rank_adapters_the_factors_are_averaged(start, tmp_path):
    run = start(tmp_path, ema=DECAY, lora_rank=2, max_steps=3)
    factors = by_hand(followed(run))
    saved, network = load_file(tmp_path / "model.safetensors"), dict(run.setup.model.module.named_modules())
    (path, *_) = [path for path, part in network.items() if hasattr(part, "get_delta_weight")]
    up, down = (factors[f"{path}.lora_{side}.default.weight"] for side in "BA")
    layer = network[path]
    expected = layer.get_base_layer().weight.detach().double() + layer.scaling["default"] * up @ down
    assert torch.allclose(saved[f"{path}.weight"].double(), expected, atol=1e-6)


def test_the_average_is_resumed_to_the_bit(start, tmp_path):
    fields = {"epochs": 2, "checkpoint_every": 1 / 3, "ema": DECAY}
    list(start(tmp_path / "whole", **fields).run())
    for event in start(tmp_path / "parts", **fields).run():
        if isinstance(event, StepLog) and event.step == 4:
            break
    list(start(tmp_path / "parts", **fields).run())
    for file in ("model.safetensors", "checkpoint-000006/training_state.safetensors"):
        whole, parts = load_file(tmp_path / "whole" / file), load_file(tmp_path / "parts" / file)
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_and_its_losses_are_those_without_an_average(start, tmp_path):
    """The checkpoints' scores too are the average's, and scoring it must leave the weights as they are."""
    scored = {"checkpoint_every": 1 / 3, "eval_tasks": "scenes_color", "eval_limit": 60}
    plain, averaged = (
        list(start(tmp_path / str(ema), ema=ema, **scored).run()) for ema in (None, 0.9999)
    )  # fmt: skip
    losses = [[event.loss for event in events if isinstance(event, StepLog)] for events in (plain, averaged)]
    assert losses[0] == losses[1]
    scores = [
        [event.results.metric("scenes_color", "acc") for event in events if isinstance(event, Checkpoint)]
        for events in (plain, averaged)
    ]
    assert scores[0] != scores[1]
    assert len(set(scores[1])) == 1, "after three steps, the average is still the base model"
