"""Paints with a diffusion model: any inpainting pipeline of diffusers."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from clipbench.annotate import masks
from clipbench.annotate.painters.base import Cancelled, IsCancelled, OnStep, Painted, PaintRequest, composite
from clipbench.annotate.painters.pipelines import load_pipeline, out_of_memory
from clipbench.annotate.tool_names import check_tool
from clipbench.errors import ConfigError, DataError, ModelError
from clipbench.models import checks

_USUAL_STEPS: Final = 50
_FLOPS_PER_STEP: Final = 1.4e12  # Stable Diffusion at 512 x 512, with and without the prompt: a rough estimate
_CONTEXT: Final = 1.6  # side of what the model sees, relative to the object's box; never less than the model's own size
_SIZES: Final = (1.0, 1.0, 0.75, 0.5)  # of the model's own; the second time with slicing, then smaller
_PROMPT: Final = "the prompt is longer than the {} tokens that the model reads: its end is not painted"


class DiffusionPainter:
    """Paints what the prompt says inside the mask, with an inpainting pipeline.

    The model sees the object with its surroundings, in its own size; what it paints is scaled back and put inside the
    mask. Noise is drawn on the CPU, so that a seed gives the same picture on any device, up to rounding.

    Args:
        name: Hub id or folder of a pipeline. Only safetensors are read, and no code is run.
        device: As in an evaluation.
        dtype: As in an evaluation.
        revision: Of a hub repository.
        steps: Denoising steps; by default the pipeline's own number.

    Raises:
        ConfigError: diffusers is not installed, or device, dtype or steps are invalid.
        UnknownName: `name` is no hub id and no folder.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        steps: int | None = None,
    ) -> None:
        if importlib.util.find_spec("diffusers") is None:
            raise ConfigError(f'inpainter {name} needs diffusers: pip install "clipbench[annotate]"')
        check_tool("inpainter", name, ("drawn", "classic"), "pipeline", revision)
        if steps is not None and steps < 1:
            raise ConfigError(f"steps of an inpainter must be at least 1, not {steps}")
        self.name = name
        self._device = checks.resolve_device(device)
        self._dtype = checks.resolve_dtype(dtype)
        self._revision, self._steps = revision, steps
        self._pipeline: Any = None
        self._commit: str | None = None
        self._attempt = 0  # index into _SIZES: what once did not fit into the memory is not tried again
        self._seconds: float | None = None

    def check(self, concept: str) -> None:
        """A prompt can ask for anything."""

    def details(self) -> dict[str, object]:
        return {
            "inpainter": self.name,
            "revision": self._commit or self._revision,
            "pipeline": type(self._pipeline).__name__ if self._pipeline is not None else None,
            "steps": self._steps,
            "dtype": checks.dtype_name(self._dtype),
            "device": self._device.type,
        }

    def seconds_per_candidate(self) -> float | None:
        """What the last one took; before the first one on a CPU, a guess from how fast it multiplies."""
        if self._seconds is None and self._device.type == "cpu":
            self._seconds = (self._steps or _USUAL_STEPS) * _FLOPS_PER_STEP / _flops_per_second()
        return self._seconds

    def paint(self, request: PaintRequest, on_step: OnStep, cancelled: IsCancelled) -> Painted:
        masks.check(request.mask, request.image.size)
        if cancelled():
            raise Cancelled
        if self._pipeline is None:
            self._pipeline, self._commit = load_pipeline(self.name, self._revision, self._device, self._dtype)
        notes = self._prompt_notes(request.prompt)
        while True:
            started = time.monotonic()
            size = self._size()
            try:
                picture = self._painted(request, size, on_step, cancelled)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._make_smaller(size)
            else:
                break
        self._seconds = time.monotonic() - started
        if self._attempt:
            notes.append(f"out of memory: painted in parts, at up to {size} pixels a side")
        return Painted(composite(request.image, picture, request.mask), request.mask.copy(), tuple(notes))

    def _size(self) -> int:
        """The longer side, in pixels, of what the model paints."""
        pipeline = self._pipeline
        own = getattr(pipeline, "default_sample_size", None) or _denoiser(pipeline).config.sample_size
        latent = own if isinstance(own, int) else max(own)
        step = _multiple(pipeline)
        return max(step, int(latent * pipeline.vae_scale_factor * _SIZES[self._attempt]) // step * step)

    def _make_smaller(self, size: int) -> None:
        """Prepare another attempt after one that did not fit into the memory."""
        self._attempt += 1
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self._attempt >= len(_SIZES):
            self._attempt = len(_SIZES) - 1
            raise ModelError(
                f"{self.name} is out of memory on {self._device} even at {size} x {size} pixels: "
                "choose dtype bfloat16, device cpu, or a smaller model"
            )
        self._pipeline.enable_attention_slicing()
        for method in ("enable_slicing", "enable_tiling"):
            getattr(getattr(self._pipeline, "vae", None), method, lambda: None)()

    def _painted(self, request: PaintRequest, size: int, on_step: OnStep, cancelled: IsCancelled) -> Image.Image:
        """The whole picture with what the model has painted around the mask."""
        box = _window(request.mask, size)
        step = _multiple(self._pipeline)
        scale = size / max(box[2] - box[0], box[3] - box[1])
        width, height = (max(step, round(side * scale / step) * step) for side in (box[2] - box[0], box[3] - box[1]))
        left, top, right, bottom = box
        part = Image.fromarray(request.mask[top:bottom, left:right]).resize((width, height), Image.Resampling.NEAREST)
        # Masks are cut to the latents' grid: a rim makes sure that all of the object is painted.
        wide = masks.grow(np.asarray(part), self._pipeline.vae_scale_factor // 2)
        options: dict[str, Any] = {
            "prompt": request.prompt,
            "image": request.image.convert("RGB").crop(box).resize((width, height), Image.Resampling.LANCZOS),
            "mask_image": Image.fromarray(wide.astype(np.uint8) * 255),
            "width": width,
            "height": height,
            "strength": 1.0,  # some pipelines would keep a part of the old object
            "generator": torch.Generator("cpu").manual_seed(request.seed % 2**63),
            "output_type": "np",
        }
        pixels = self._call(options, on_step, cancelled)
        fresh = Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        picture = request.image.convert("RGB")
        picture.paste(fresh.resize((right - left, bottom - top), Image.Resampling.LANCZOS), box[:2])
        return picture

    def _call(self, options: dict[str, Any], on_step: OnStep, cancelled: IsCancelled) -> np.ndarray[Any, Any]:
        """One picture, (H, W, 3), 0 to 1. Pipelines differ in what they take."""
        accepted = inspect.signature(self._pipeline.__call__).parameters
        steps = self._steps or (accepted["num_inference_steps"].default if "num_inference_steps" in accepted else 1)
        options = {"num_inference_steps": steps, **options, "callback_on_step_end": self._callback(on_step, cancelled)}
        on_step(0, steps)
        with torch.inference_mode():
            result = self._pipeline(**{name: value for name, value in options.items() if name in accepted})
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise DataError(
                f"the safety filter of {self.name} withheld this candidate: try another seed, or another prompt"
            )
        pixels = np.asarray(result.images[0])
        if not np.isfinite(pixels).all():
            raise ModelError(f"{self.name} painted NaN in {checks.dtype_name(self._dtype)}: use dtype float32")
        return pixels

    def _callback(self, on_step: OnStep, cancelled: IsCancelled) -> Callable[..., dict[str, Any]]:
        def stepped(pipeline: Any, index: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step(index + 1, int(getattr(pipeline, "num_timesteps", 0)) or index + 1)
            if cancelled():
                raise Cancelled
            return tensors

        return stepped

    def _prompt_notes(self, prompt: str) -> list[str]:
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        most = getattr(tokenizer, "model_max_length", None)
        if tokenizer is None or not isinstance(most, int) or most > 10_000:
            return []
        with checks.quiet():
            return [_PROMPT.format(most)] if len(tokenizer(prompt).input_ids) > most else []


def _denoiser(pipeline: Any) -> Any:
    return getattr(pipeline, "unet", None) or pipeline.transformer


def _multiple(pipeline: Any) -> int:
    """What sides must be multiples of; twice the latents' step, because some models join latents in pairs."""
    return int(pipeline.vae_scale_factor) * 2


def _window(mask: masks.Mask, size: int) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) that the model sees: the object with its surroundings, inside the picture."""
    left, top, right, bottom = masks.bounds(mask)
    side = max(size, round(_CONTEXT * max(right - left, bottom - top)))
    spans = []
    for start, end, whole in ((left, right, mask.shape[1]), (top, bottom, mask.shape[0])):
        length = min(side, whole)
        first = max(0, min(whole - length, (start + end - length) // 2))
        spans.append((first, first + length))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _flops_per_second() -> float:
    """How fast this CPU multiplies matrices."""
    matrix = torch.ones(768, 768)
    torch.mm(matrix, matrix)
    started = time.perf_counter()
    for _ in range(4):
        torch.mm(matrix, matrix)
    return 4 * 2 * 768**3 / max(time.perf_counter() - started, 1e-9)
