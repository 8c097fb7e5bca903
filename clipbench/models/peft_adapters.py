"""Folders and hub repositories that hold a PEFT adapter: loaded together with their base, and merged into it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models import checks
from clipbench.models.spec import ADAPTER_CONFIG, TRANSFORMERS_CONFIG, ModelSpec


def adapter_base(source: str, request: ModelSpec) -> str | None:
    """The base model of an adapter, named by it or by ``model_args base=…``; None if ``source`` is not an adapter.

    Raises:
        ModelError: The adapter names no base, peft is missing, or there is a whole model next to the adapter.
    """
    named = request.text("base")
    file = _find(source, ADAPTER_CONFIG, request)
    if file is None:
        if named:
            raise ModelError(f"{source} holds no {ADAPTER_CONFIG}: leave base={named} out")
        return None
    if not named and _find(source, TRANSFORMERS_CONFIG, request) is not None:
        raise ModelError(
            f"{source} holds a model and a PEFT adapter ({ADAPTER_CONFIG}): merge them, or pass a folder with only one"
        )
    try:
        stated = json.loads(Path(file).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is not a valid adapter configuration: {error}"[:400]) from None
    base = named or stated
    if not isinstance(base, str) or not base:
        raise ModelError(f"{source} is a PEFT adapter and does not say of which model: pass model_args base=MODEL")
    if importlib.util.find_spec("peft") is None:
        raise ModelError(f"{source} is a PEFT adapter of {base}: run pip install 'clipbench[lora]' to load both")
    if base.startswith(("/", ".", "~")) and not Path(base).expanduser().is_dir():
        raise ModelError(f"{source} is a PEFT adapter of {base}, which is not there: pass model_args base=FOLDER")
    return base


def _find(source: str, name: str, request: ModelSpec) -> str | None:
    if Path(source).exists():
        file = Path(source) / name
        return str(file) if file.is_file() else None
    from transformers.utils.hub import cached_file

    lenient: dict[str, Any] = {
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    try:
        return cached_file(source, name, revision=request.revision, **lenient)
    except OSError:  # no such repository or revision: the loader says so
        return None


@torch.no_grad()
def merge_adapter(module: Any, source: str, revision: str | None) -> Any:
    """Add an adapter to a network of transformers, in place.

    Raises:
        ModelError: Its weights do not fit the network.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    config = PeftConfig.from_pretrained(source, revision=revision)
    config.inference_mode = True
    weights = load_peft_weights(source, device="cpu", revision=revision)
    checks.check_finite(source, weights)
    # On the meta device, so that nothing is allocated at a size that only the configuration claims.
    adapted = get_peft_model(module, config, low_cpu_mem_usage=True)
    found: Any = set_peft_model_state_dict(adapted, weights, low_cpu_mem_usage=True)
    left = [name for name, tensor in adapted.state_dict().items() if tensor.is_meta]
    checks.check_keys(source, missing=left, unexpected=found.unexpected_keys)
    return adapted.merge_and_unload()
