"""Finding and loading open_clip checkpoints: tags, hub repositories, directories, files."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ClipbenchError, ConfigError, ModelError
from clipbench.models import checks
from clipbench.models.load_errors import explain
from clipbench.models.open_clip.adapter import OpenClipModel
from clipbench.models.open_clip.center_crop import CENTER_CROPS
from clipbench.models.open_clip.names import LOCAL_PREFIX, Plan, make_plan
from clipbench.models.open_clip.weight_files import build_from_state, guess_architecture, is_openai, read_weights
from clipbench.models.spec import OPEN_CLIP_CONFIG, ModelSpec, as_bool

_FILES = f"{OPEN_CLIP_CONFIG} and open_clip_model.safetensors"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def load(request: ModelSpec) -> OpenClipModel:
    """Load whatever ``request`` names.

    Raises:
        UnknownName: No such architecture or tag; the message has close matches.
        ModelError: The checkpoint cannot be found, read or used.
        ConfigError: An argument is invalid.
    """
    request.only("pretrained", "model_name", "force_quick_gelu", "center_crop")
    center_crop = request.text("center_crop") or "open_clip"
    if center_crop not in CENTER_CROPS:
        raise ConfigError(f"center_crop={center_crop!r}: open_clip (the default) or transformers")
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    plan = make_plan(request)
    with checks.quiet():
        try:
            loaded = _open(plan, request, dtype)
            checks.check_finite(request.id, loaded.module.state_dict())
            return OpenClipModel(
                loaded.module.to(device),
                _tokenizer(loaded.config, loaded.directory),
                loaded.config,
                id=request.id,
                architecture=plan.architecture or type(loaded.module).__name__,
                dtype=dtype,
                revision=loaded.revision,
                center_crop=center_crop,
            )
        except ClipbenchError:
            raise
        except Exception as error:  # open_clip, the hub client, torch and pickle all raise what they like
            raise _explain(error, plan) from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    module: Any
    config: dict[str, Any]
    directory: Path | None = None
    revision: str | None = None


def _open(plan: Plan, request: ModelSpec, dtype: torch.dtype) -> _Loaded:
    import open_clip

    quick_gelu = request.args.get("force_quick_gelu")
    forced = None if quick_gelu is None else as_bool(quick_gelu, "force_quick_gelu")
    if plan.repository:
        loaded = _from_repository(plan.repository, request.revision, dtype, forced)
    elif plan.directory:
        loaded = _from_directory(plan.directory, dtype, forced)
    elif plan.file:
        loaded = _from_file(plan.file, plan.architecture, dtype, forced)
    else:
        config = open_clip.get_model_config(plan.architecture)
        # open_clip only warns where a tag was trained with QuickGELU and the architecture has GELU: obey the tag.
        tagged = open_clip.get_pretrained_cfg(plan.architecture, plan.tag).get("quick_gelu", False)
        config["quick_gelu"] = bool(tagged or config.get("quick_gelu")) if forced is None else forced
        loaded = _Loaded(_create(str(plan.architecture), config, dtype, pretrained=plan.tag), config)
    return loaded


def _from_repository(repository: str, revision: str | None, dtype: torch.dtype, forced: bool | None) -> _Loaded:
    from open_clip.pretrained import download_pretrained_from_hf

    config_file = Path(download_pretrained_from_hf(repository, filename=OPEN_CLIP_CONFIG, revision=revision))
    weights = Path(download_pretrained_from_hf(repository, revision=config_file.parent.name))
    if weights.parent != config_file.parent:
        raise ModelError(f"{repository} changed while it was downloaded: try again")
    # Both lie in the cache's folder of that commit, which open_clip reads as a local checkpoint.
    loaded = _from_directory(config_file.parent, dtype, forced)
    return replace(loaded, directory=None, revision=config_file.parent.name)


def _from_directory(directory: Path, dtype: torch.dtype, forced: bool | None) -> _Loaded:
    path = directory / OPEN_CLIP_CONFIG
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8"))["model_cfg"])
    except FileNotFoundError:
        raise ModelError(f"{directory} holds no {OPEN_CLIP_CONFIG}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a valid open_clip configuration: {error!r}") from None
    if not any(file.suffix in (".safetensors", ".bin", ".pth") for file in directory.iterdir()):
        raise ModelError(f"{directory} holds {OPEN_CLIP_CONFIG} but no weights: add open_clip_model.safetensors")
    if forced is not None:
        config["quick_gelu"] = forced
    return _Loaded(_create(f"{LOCAL_PREFIX}{directory}", config, dtype), config, directory=directory)


def _from_file(file: Path, architecture: str | None, dtype: torch.dtype, forced: bool | None) -> _Loaded:
    import open_clip

    state = read_weights(file)
    if is_openai(file, state):
        return _Loaded(*build_from_state(file, state, quick_gelu=forced is not False, dtype=dtype))
    name = architecture or guess_architecture(file, state)
    config = open_clip.get_model_config(name)
    if forced is not None:
        config["quick_gelu"] = forced
    return _Loaded(_create(name, config, dtype, pretrained=str(file)), config)


def _create(name: str, config: dict[str, Any], dtype: torch.dtype, pretrained: str | None = None) -> Any:
    import open_clip

    return open_clip.create_model(
        name,
        pretrained,
        precision=_precision(config, dtype),
        device="cpu",
        quick_gelu=bool(config.get("quick_gelu", False)),
        pretrained_text=False,  # else a text tower would be downloaded, only to be overwritten
        require_pretrained=True,
        weights_only=True,
    )


def _precision(config: dict[str, Any], dtype: torch.dtype) -> str:
    """open_clip's name of a precision. Its mixed forms, with LayerNorms in float32, work for plain CLIPs only."""
    short = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    custom = config.get("custom_text") or "hf_model_name" in config.get("text_cfg", {})
    return f"pure_{short}" if custom and short != "fp32" else short


def _tokenizer(config: dict[str, Any], directory: Path | None) -> Any:
    """As ``open_clip.get_tokenizer``, without the hub where the directory has the tokenizer."""
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = copy.deepcopy(config.get("text_cfg", {}))
    options = dict(text.get("tokenizer_kwargs") or {})
    options["context_length"] = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    name = text.get("hf_tokenizer_name")
    if not name:
        return SimpleTokenizer(**options)
    if directory is not None and any((directory / file).is_file() for file in _TOKENIZER_FILES):
        name = str(directory)
    return HFTokenizer(name, tokenizer_mode=text.get("tokenizer_mode"), trust_remote_code=False, **options)


def _explain(error: Exception, plan: Plan) -> ModelError:
    text = str(error)
    if "Error(s) in loading state_dict" in text:
        found = {kind: _names(text, kind) for kind in ("Missing", "Unexpected")}
        shapes = re.findall(r"size mismatch for ([^\s:]+):", text)
        try:
            checks.check_keys(
                plan.source,
                missing=found["Missing"],
                unexpected=found["Unexpected"],
                shapes=shapes,
            )
        except ModelError as clear:
            return clear
    return explain(error, plan.source, files=_FILES)


def _names(text: str, kind: str) -> list[str]:
    listed = re.search(rf"{kind} key\(s\) in state_dict: (.*)", text)
    return re.findall(r'"([^"]+)"', listed[1]) if listed else []
