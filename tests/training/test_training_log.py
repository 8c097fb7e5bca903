"""What is logged of a step, and the curve that is drawn of it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clipbench.errors import ResultError
from clipbench.training import loss_curve
from clipbench.training.events import StepLog
from clipbench.training.gradient_cache import GradientCache
from clipbench.training.loss_curve import draw_loss_curve
from clipbench.training.run_folder import RunFolder


def first_step(run):
    return next(event for event in run.run() if isinstance(event, StepLog))


@torch.no_grad()
def counted_by_hand(run):
    """Shares of right answers of the first batch: pair by pair, from features in float64."""
    model, (part, *_) = run.setup.model, run.setup.batches.make(0).parts
    images = model.image_features(part.pixels).double().numpy()
    texts = model.text_features(part.tokens).double().numpy()
    images, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    count, negatives = run.setup.recipe.batch_size, run.setup.recipe.negatives
    found = {"i2t_acc": 0, "t2i_acc": 0, "hard_negative_acc": 0}
    for i in range(count):
        own, others = images[i] @ texts[i], [j for j in range(count) if j != i]
        hard = texts[count + i * negatives : count + (i + 1) * negatives]
        found["i2t_acc"] += all(own > images[i] @ texts[j] for j in others) / count
        found["t2i_acc"] += all(own > images[j] @ texts[i] for j in others) / count
        found["hard_negative_acc"] += all(own > images[i] @ text for text in hard) / count
    return found if negatives else {name: found[name] for name in ("i2t_acc", "t2i_acc")}


@pytest.mark.parametrize(
    "fields", [{"negatives": 2}, {"negatives": 0}, {"negatives": 1, "micro_batch_size": 3}], ids=str
)
def test_accuracies_are_those_of_the_batch(start, tmp_path, fields):
    run = start(tmp_path / "run", batch_size=24, **fields)
    whole = start(tmp_path / "whole", batch_size=24, negatives=fields["negatives"])
    expected = counted_by_hand(whole)
    assert 0 < expected["i2t_acc"] < 1
    assert first_step(run).accuracies == pytest.approx(expected)


@pytest.mark.parametrize("frozen", [(), ("image",)])
def test_the_scales_gradient_is_the_derivative_of_the_loss(start, tmp_path, frozen):
    """A difference quotient: the loss with the logarithm of the scale a little higher and lower."""
    run = start(tmp_path / "run", batch_size=8, freeze=frozen)
    found = first_step(run).logit_scale_grad
    losses = []
    for change in (-1e-2, 1e-2):
        other = start(tmp_path / str(change), batch_size=8, freeze=frozen)
        with torch.no_grad():
            other.setup.model.module.logit_scale.add_(change)
        losses.append(first_step(other).loss)
    assert found == pytest.approx((losses[1] - losses[0]) / 2e-2, rel=1e-2)


def test_every_line_of_the_log_has_all_of_it(start, tmp_path):
    run = start(tmp_path, learning_rate=1e-3, warmup_steps=2, checkpoint_every=1 / 3)
    events = [event for event in run.run() if isinstance(event, StepLog)]
    lines = [json.loads(line) for line in (tmp_path / "training_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [event.step for event in events] == [1, 2, 3]
    assert [line["learning_rate"] for line in lines] == [event.learning_rate for event in events] == [5e-4, 1e-3, 1e-3]
    for line, event in zip(lines, events, strict=True):
        assert {name: line[name] for name in event.accuracies} == event.accuracies
        assert line["logit_scale_grad"] == event.logit_scale_grad != 0
        assert line["samples_per_second"] == pytest.approx(event.samples_per_second, abs=0.01) != 0
        assert set(event.accuracies) == {"i2t_acc", "t2i_acc", "hard_negative_acc"}


def test_trackers_get_the_same_numbers(start, tmp_path, monkeypatch):
    run, tracked = start(tmp_path, checkpoint_every=1), []
    recorder, accelerator = run._recorder, run.setup.accelerator
    monkeypatch.setattr(accelerator, "log", lambda values, step: tracked.append((step, values)))
    recorder._setup = replace(run.setup, options=replace(run.setup.options, report_to=("tensorboard",)))
    events = [event for event in run.run() if isinstance(event, StepLog)]
    assert [step for step, _ in tracked] == [1, 2, 3]
    for (_, values), event in zip(tracked, events, strict=True):
        assert values == {name: value for name, value in event.values().items() if name != "step"}
        assert all(isinstance(value, float) for value in values.values())


def test_numbers_are_read_a_step_late(start, tmp_path, monkeypatch):
    """Reading a step's numbers waits for a GPU: it gets the next step's work first."""
    order, backward = [], GradientCache.backward
    monkeypatch.setattr(
        GradientCache, "backward", lambda cache, batch: (order.append("work"), backward(cache, batch))[1]
    )
    run = start(tmp_path, checkpoint_every=1)
    read = run._recorder.log
    run._recorder.log = lambda pending, speed: (order.append("read"), read(pending, speed))[1]
    list(run.run())
    assert order == ["work", "work", "read", "work", "read", "read"]


def test_the_curve_is_drawn_of_the_whole_run_whatever_it_was_stopped_at(start, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("clipbench.training.artifacts.draw_loss_curve", lambda log, *_: drawn.extend(log))
    fields = {"checkpoint_every": 1 / 3, "epochs": 2}
    for event in start(tmp_path, **fields).run():
        if isinstance(event, StepLog) and event.step == 5:
            break
    list(start(tmp_path, **fields).run())
    assert [entry["step"] for entry in drawn] == [1, 2, 3, 4, 5, 6]


def test_the_curve_shows_what_the_log_has(tmp_path):
    log = [{"step": step, "loss": 4 / step, "logit_scale": 10.0, "i2t_acc": 0.5, "t2i_acc": step / 1000}
           for step in range(1, 1001)]  # fmt: skip
    svg, png = draw_loss_curve(log, tmp_path, "a_$run$")
    text = svg.read_text()
    assert all(f"<!-- {label} -->" in text for label in ("loss", "image to text", "text to image", "logit scale"))
    assert "own hard negatives" not in text
    assert "<!-- a_$run$ -->" in text
    assert Image.open(png).size[0] > 1000
    assert len(text) < 400_000, "a long run is thinned"
    first = png.read_bytes()
    assert draw_loss_curve(log, tmp_path, "a_$run$")[1].read_bytes() == first


def test_the_curve_of_a_log_of_before_is_its_loss(tmp_path):
    svg, _ = draw_loss_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": math.nan}], tmp_path, "run")
    assert "accuracy" not in svg.read_text()
    assert draw_loss_curve([], tmp_path / "nowhere", "run") == []


def test_parts_of_a_long_run_keep_their_extremes():
    values = [(step, float(step % 7)) for step in range(10_000)]
    parts = loss_curve.thinned(values, 13)
    assert len(parts) == 13
    assert {least for _, _, least, _ in parts} == {0.0}
    assert {most for *_, most in parts} == {6.0}


def test_a_curve_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ResultError, match="nowhere"):
        draw_loss_curve([{"step": 1, "loss": 1.0}], tmp_path / "nowhere", "run")


def test_a_log_with_later_steps_than_the_checkpoint_loses_them(tmp_path):
    """A session that was killed after the log and before the checkpoint was written."""
    folder = RunFolder(tmp_path)
    folder.log([{"step": step, "session": 1} for step in (1, 2, 3)], 0)
    folder.log([{"step": step, "session": 2} for step in (3, 4)], 2)
    assert [(entry["step"], entry["session"]) for entry in folder.read_log()] == [(1, 1), (2, 1), (3, 2), (4, 2)]
