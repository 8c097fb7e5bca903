"""Loads inpainting pipelines of diffusers: safely and whole."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ClipbenchError, ModelError
from clipbench.models import checks
from clipbench.models.load_errors import explain
from clipbench.utils.hub import cache_if_unreached

_LOG = logging.getLogger("clipbench")
_FILES = "model_index.json and each component's folder with its .safetensors"


def load_pipeline(name: str, revision: str | None, device: torch.device, dtype: torch.dtype) -> tuple[Any, str | None]:
    """A pipeline on its device, and its commit on the hub, if it is from there.

    Args:
        name: Hub id or folder.
        revision: Of a hub repository.
        device: Where it runs. If a GPU has too little memory, its parts are moved there one after another.
        dtype: Its precision.

    Raises:
        ModelError: It cannot be found, read or used; the message says what to do.
    """
    with checks.quiet():  # it warns of what it uses of torch
        from diffusers import AutoPipelineForInpainting, DiffusionPipeline
    local = Path(name).exists()
    try:
        with cache_if_unreached(not local), checks.quiet(), _no_bars():
            folder = Path(name)
            if not local:
                folder = Path(DiffusionPipeline.download(name, revision=revision, use_safetensors=True))
            if not (folder / "model_index.json").is_file():
                raise ModelError(f"{name} is no pipeline of diffusers: there is no model_index.json in it")
            load: Any = AutoPipelineForInpainting.from_pretrained
            pipeline = load(str(folder), torch_dtype=dtype, use_safetensors=True)
            _check_weights(name, folder, pipeline)
            pipeline.set_progress_bar_config(disable=True)
        _place(name, pipeline, device)
    except ClipbenchError:
        raise
    except Exception as error:  # diffusers, transformers and the hub client raise what they like
        raise _explained(error, name, device) from error
    commit = folder.name if not local and re.fullmatch(r"[0-9a-f]{40}", folder.name) else None
    return pipeline, commit


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """The library counts a pipeline's parts on the terminal."""
    from diffusers.utils import logging as diffusers_logging

    shown = diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            diffusers_logging.enable_progress_bar()


def _explained(error: Exception, name: str, device: torch.device) -> ModelError:
    if out_of_memory(error):
        return ModelError(f"{name} does not fit into the memory of {device}: choose dtype bfloat16 or device cpu")
    text = " ".join(str(error).split())
    if "safetensors" in text.lower() or "safe serialization" in text:
        return ModelError(
            f"{name} has no complete .safetensors weights ({text[:120]}): other files can run code, and are not read"
        )
    if "can't find a pipeline linked to" in text or "AutoPipeline" in text:
        return ModelError(f"{name} cannot inpaint ({text[:160]}): choose an inpainting pipeline")
    return explain(error, name, files=_FILES)


def _check_weights(name: str, folder: Path, pipeline: Any) -> None:
    """Refuse weights that are missing, which would be random numbers, or not finite."""
    from safetensors import safe_open

    for part, module in pipeline.components.items():
        if not isinstance(module, torch.nn.Module):
            continue
        state = module.state_dict()
        if part in ("unet", "transformer") and (files := list((folder / part).glob("*.safetensors"))):
            stored: set[str] = set()
            for file in files:
                with safe_open(file, "pt") as content:
                    stored.update(content.keys())
            checks.check_keys(f"{name}, {part}", missing=set(state) - stored, unexpected=())
        checks.check_finite(f"{name}, {part}", state)


def _place(name: str, pipeline: Any, device: torch.device) -> None:
    try:
        pipeline.to(device)
    except Exception as error:
        if device.type == "cpu" or not out_of_memory(error):
            raise
        pipeline.to("cpu")
        torch.cuda.empty_cache()
        pipeline.enable_model_cpu_offload(device=device)
        _LOG.warning(
            "clipbench: %s does not fit into the memory of %s: its parts take turns there (slower)", name, device
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the computer, was not enough."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "not enough memory", "can't allocate memory")
    )
