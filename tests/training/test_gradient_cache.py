import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from clipbench.training.losses import LOSSES, HardNegatives, LossInputs
from tests.training.gradients import gradients, share_images


def assert_equal_gradients(left, right, tolerance=2e-6):
    """Up to float32's rounding, which differs between processors: 1.1e-6 has been seen."""
    assert left.keys() == right.keys()
    for name, gradient in left.items():
        largest = max(1.0, float(gradient.abs().max()))
        assert (gradient - right[name]).abs().max() <= tolerance * largest, name


def plain_gradients(run):
    """The textbook: the whole batch through both towers, one backward."""
    model, batch = run.setup.model, run.setup.batches.make(0)
    model.module.train()
    model.module.zero_grad()
    (part,) = batch.parts
    images = normalize(model.image_features(part.pixels), dim=-1)
    texts = normalize(model.text_features(part.tokens), dim=-1)
    count, negatives, others = len(batch.ids), run.setup.recipe.negatives, batch.negative_images
    hard = texts[count:].reshape(count, negatives, -1) if negatives else None
    further = images[count:].reshape(count, 2, -1) if others else None
    inputs = LossInputs(
        images[:count],
        texts[:count],
        model.logit_scale,
        None if hard is None else HardNegatives(hard, batch.negative_positions, batch.valid),
        None if others is None else HardNegatives(further, others.positions, others.valid, others.same_image),
        same_image=batch.same_image,
        bias=getattr(model.module, "logit_bias", None),
    )
    loss = LOSSES[run.setup.recipe.loss](inputs)
    loss.backward()
    grads = {name: weight.grad for name, weight in model.module.named_parameters() if weight.grad is not None}
    return {**grads, "loss": loss.detach()}


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_gradients_are_those_of_one_plain_backward(start, tmp_path, tiny_clip, tiny_open_clip, library, loss):
    model = tiny_clip if library == "transformers" else tiny_open_clip
    run = start(tmp_path, model=model, negatives=2, batch_size=16, loss=loss)
    found, expected = gradients(run), plain_gradients(run)
    assert "logit_scale" in found
    assert found["logit_scale"].abs() > 1e-4
    assert_equal_gradients(found, expected)


@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 5, 8])
def test_parts_give_the_gradients_of_the_whole_batch(start, tmp_path, micro_batch_size, negatives):
    whole = gradients(start(tmp_path / "whole", negatives=negatives, batch_size=16))
    parts = gradients(start(tmp_path / "parts", negatives=negatives, batch_size=16, micro_batch_size=micro_batch_size))
    assert_equal_gradients(whole, parts)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_negative_images_and_masks_give_the_gradients_of_one_plain_backward_whole_and_in_parts(start, tmp_path, loss):
    fields = {"negatives": 2, "batch_size": 16, "loss": loss}
    run = share_images(start(tmp_path / "whole", **fields))
    found = gradients(run)
    assert_equal_gradients(found, plain_gradients(run), tolerance=1e-5)
    parts = share_images(start(tmp_path / "parts", micro_batch_size=5, **fields))
    assert_equal_gradients(found, gradients(parts), tolerance=1e-5)
    kept = share_images(start(tmp_path / "kept", same_image="keep", **fields))
    assert not torch.isclose(gradients(kept)["loss"], found["loss"], rtol=1e-3)


@pytest.mark.parametrize("way", ["replicated", "fsdp"])
@pytest.mark.parametrize(("loss", "micro_batch_size"), [("inbatch_replacement", 0), ("sigmoid", 3)])
def test_two_processes_give_the_gradients_of_one(start, tmp_path, tiny_clip, table, loss, micro_batch_size, way):
    whole = gradients(share_images(start(tmp_path / "one", model=tiny_clip, negatives=2, batch_size=16, loss=loss)))
    script = Path(__file__).with_name("gradients.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", script]
    command = [*launcher, tiny_clip, table, tmp_path / "cache", micro_batch_size, loss, way, tmp_path / "two"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for process in (0, 1):
        assert_equal_gradients(whole, load_file(tmp_path / "two" / f"gradients-{process}.safetensors"))


def test_dropout_is_the_same_in_both_passes_of_a_part(start, tmp_path, tiny_clip, monkeypatch):
    """With dropout the second pass must draw what the first one drew, or the gradient belongs to another loss."""
    run = start(tmp_path, negatives=1, batch_size=8, micro_batch_size=4)
    model = run.setup.model
    inner, drawn = model.packed_text.features, []

    def dropping(rows):
        features = torch.nn.functional.dropout(inner(rows), 0.5)
        drawn.append((features == 0).clone())
        return features

    monkeypatch.setattr(model.packed_text, "features", dropping)
    gradients(run)
    first, second = drawn[:2], drawn[2:]
    assert len(second) == 2
    assert all(torch.equal(left, right) for left, right in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("parts", [("image",), ("image", "image_projection")])
def test_a_frozen_image_towers_features_are_those_of_its_pixels(parts, start, tmp_path):
    pixels = gradients(start(tmp_path / "a", batch_size=16))
    frozen = gradients(start(tmp_path / "b", batch_size=16, freeze=parts))
    assert set(frozen) < set(pixels)
    assert_equal_gradients(frozen, {name: pixels[name] for name in frozen})
