"""The diffusion painter, with a tiny pipeline of random weights."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers")

from clipbench.annotate.masks import box_mask
from clipbench.annotate.painters.base import Cancelled, PaintRequest
from clipbench.annotate.painters.diffusion import DiffusionPainter, _window
from clipbench.annotate.painters.find import find_painter
from clipbench.errors import ClipbenchError, ConfigError, DataError, ModelError, UnknownName

from .tiny_models import build_inpainter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_inpainter(tmp_path_factory.mktemp("inpainter"))


@pytest.fixture(scope="module")
def painter(folder):
    return DiffusionPainter(str(folder), device="cpu", steps=3)


def request(size=(90, 70), seed=0, prompt="a brown cat"):
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    mask = box_mask(size, (20, 15, 55, 50))
    return PaintRequest(Image.fromarray(pixels), mask, prompt, "color", "white", "brown", seed)


def never():
    return False


def paint(painter, wanted, steps=None):
    seen = [] if steps is None else steps
    return painter.paint(wanted, lambda step, all_steps: seen.append((step, all_steps)), never)


@pytest.mark.parametrize("size", [(90, 70), (64, 64), (201, 57), (640, 480)])
def test_only_the_mask_is_painted_and_sizes_are_kept(painter, size):
    wanted, steps = request(size), []
    painted = paint(painter, wanted, steps)
    assert painted.image.size == size
    assert (painted.mask == wanted.mask).all()
    before, after = np.asarray(wanted.image), np.asarray(painted.image)
    assert (before == after)[~wanted.mask].all()
    assert (before != after)[wanted.mask].any(axis=-1).mean() > 0.9
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert painted.notes == ()


def test_a_seed_gives_one_picture_and_a_prompt_matters(painter):
    pictures = [paint(painter, request(seed=seed)).image.tobytes() for seed in (0, 1, 2, 0)]
    assert pictures[0] == pictures[3]
    assert len(set(pictures)) == 3
    assert paint(painter, request(prompt="a dog")).image.tobytes() != pictures[0]


def test_what_the_pipeline_itself_paints(folder, painter):
    """At the pipeline's own size nothing is scaled: the result is the pipeline's."""
    from diffusers import StableDiffusionInpaintPipeline

    wanted = request((64, 64))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder)
    from clipbench.annotate.masks import grow

    mask = Image.fromarray(grow(wanted.mask, pipeline.vae_scale_factor // 2).astype(np.uint8) * 255)
    direct = pipeline(
        wanted.prompt,
        image=wanted.image,
        mask_image=mask,
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0]
    ours = np.asarray(paint(painter, wanted).image, int)
    assert np.abs(ours - np.asarray(direct, int))[wanted.mask].max() <= 1


def test_cancelling_after_the_first_step(painter):
    steps = []
    with pytest.raises(Cancelled):
        painter.paint(request(), lambda step, _: steps.append(step), lambda: bool(steps and steps[-1] == 1))
    assert steps == [0, 1]
    assert paint(painter, request()).image.size == (90, 70)  # it goes on to work


def fail_above(monkeypatch, pipeline, pixels, error):
    """The denoiser fails for latents of more than `pixels` pixels a side."""
    forward = type(pipeline.unet).forward

    def picky(self, sample, *args, **kwargs):
        if max(sample.shape[-2:]) * pipeline.vae_scale_factor > pixels:
            raise error
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(type(pipeline.unet), "forward", picky)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")],
)
def test_out_of_memory_is_painted_smaller_and_said(folder, monkeypatch, error):
    painter = DiffusionPainter(str(folder), device="cpu", steps=2)
    paint(painter, request())
    fail_above(monkeypatch, painter._pipeline, 50, error)
    painted = paint(painter, request())
    assert painted.image.size == (90, 70)
    assert painted.notes == ("out of memory: painted in parts, at up to 48 pixels a side",)
    assert paint(painter, request()).notes == painted.notes  # without trying what does not fit


def test_out_of_memory_at_every_size(folder, monkeypatch):
    painter = DiffusionPainter(str(folder), device="cpu", steps=2)
    paint(painter, request())
    fail_above(monkeypatch, painter._pipeline, 0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(ModelError, match="out of memory on cpu even at 32 x 32 pixels: choose dtype"):
        paint(painter, request())


def test_other_errors_are_not_mistaken_for_it(folder, monkeypatch):
    painter = DiffusionPainter(str(folder), device="cpu", steps=2)
    paint(painter, request())
    fail_above(monkeypatch, painter._pipeline, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        paint(painter, request())


def test_details_and_estimate(folder):
    painter = find_painter(str(folder), device="cpu", steps=4)
    assert painter.seconds_per_candidate() > 0  # a guess
    painter.check("object")
    paint(painter, request())
    assert 0 < painter.seconds_per_candidate() < 60  # as measured
    assert painter.details() == {
        "inpainter": str(folder),
        "revision": None,
        "pipeline": "StableDiffusionInpaintPipeline",
        "steps": 4,
        "dtype": "float32",
        "device": "cpu",
    }


def test_bfloat16(folder):
    painter = DiffusionPainter(str(folder), device="cpu", dtype="bfloat16", steps=2)
    assert paint(painter, request()).image.size == (90, 70)
    assert painter._pipeline.unet.dtype == torch.bfloat16


def test_a_long_prompt_is_said(painter):
    painted = paint(painter, request(prompt="a very " + "very " * 90 + "brown cat"))
    assert painted.notes == ("the prompt is longer than the 77 tokens that the model reads: its end is not painted",)


def test_a_pipeline_that_was_not_made_for_inpainting(tmp_path):
    """Stable Diffusion's text-to-image weights inpaint, too."""
    painter = DiffusionPainter(str(build_inpainter(tmp_path, channels=4)), device="cpu", steps=2)
    assert paint(painter, request()).image.size == (90, 70)


@pytest.mark.parametrize("size", [64, 512, 2000])
@pytest.mark.parametrize("box", [(0, 0, 10, 10), (600, 440, 640, 480), (5, 100, 630, 130), (300, 200, 340, 230)])
def test_what_the_model_sees(size, box):
    mask = box_mask((640, 480), box)
    left, top, right, bottom = _window(mask, size)
    assert 0 <= left <= box[0] < box[2] <= right <= 640
    assert 0 <= top <= box[1] < box[3] <= bottom <= 480
    assert right - left >= min(640, size)
    assert bottom - top >= min(480, size)


def damage(folder, tmp_path, how):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file, save_file

    state = load_file(weights)
    if how == "missing":
        state.pop(sorted(state)[0])
        save_file(state, weights)
    elif how == "nan":
        state[sorted(state)[0]][:] = float("nan")
        save_file(state, weights)
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif how == "pickle":
        torch.save(state, weights.with_suffix(".bin"))
        weights.unlink()
    elif how == "index":
        (copy / "model_index.json").write_text("{")
    elif how == "no index":
        (copy / "model_index.json").unlink()
    elif how == "code":
        index = json.loads((copy / "model_index.json").read_text())
        (copy / "model_index.json").write_text(json.dumps({**index, "unet": ["my_code", "UNet"]}))
        ran = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
        (copy / "unet" / "my_code.py").write_text(f"{ran}\nfrom diffusers import UNet2DConditionModel as UNet\n")
    elif how == "part":
        shutil.rmtree(copy / "vae")
    return copy


@pytest.mark.parametrize("how", ["missing", "nan", "cut", "pickle", "index", "no index", "part", "code"])
def test_damaged_pipelines(folder, tmp_path, how):
    painter = DiffusionPainter(str(damage(folder, tmp_path, how)), device="cpu", steps=2)
    with pytest.raises(ModelError) as caught:
        paint(painter, request())
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "\n" not in message
    said = {"missing": "1 missing", "nan": "NaN", "pickle": "safetensors", "no index": "model_index"}
    said["code"] = "my_code.py"
    assert said.get(how, "") in message
    assert not (tmp_path / "ran").exists()


def test_names_and_options_that_cannot_be(folder, monkeypatch):
    with pytest.raises(UnknownName, match=r"did you mean classic\?"):
        find_painter("clasic")
    with pytest.raises(UnknownName, match="unknown inpainter"):
        find_painter("./nowhere/at/all")
    with pytest.raises(ConfigError, match="is local"):
        find_painter(str(folder), revision="main")
    with pytest.raises(ConfigError, match="at least 1"):
        find_painter(str(folder), steps=0)
    with pytest.raises(ConfigError, match="dtype"):
        find_painter(str(folder), dtype="int3")
    with pytest.raises(ConfigError, match="has no steps"):
        find_painter("classic", steps=3)
    with pytest.raises(DataError, match="empty"):
        paint(find_painter(str(folder)), replace(request(), mask=np.zeros((70, 90), bool)))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r'pip install "clipbench\[annotate\]"'):
        find_painter("owner/name")


def test_a_hub_id_that_is_not_cached(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ClipbenchError) as caught:
        paint(find_painter("nobody/no-such-inpainter"), request())
    assert "nobody/no-such-inpainter" in str(caught.value)
    assert "\n" not in str(caught.value)
