"""Finding and loading open_clip checkpoints: tags, hub repositories, directories, files."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ClipbenchError, ConfigError, ModelError
from clipbench.models import checks
from clipbench.models.load_errors import explain
from clipbench.models.open_clip.adapter import OpenClipModel
from clipbench.models.open_clip.building import create, load_weights
from clipbench.models.open_clip.center_crop import requested_crop
from clipbench.models.open_clip.fitting import fit_to_weights
from clipbench.models.open_clip.names import LOCAL_PREFIX, Plan, make_plan
from clipbench.models.open_clip.tokenizers import has_tokenizer, load_tokenizer
from clipbench.models.open_clip.weight_files import (
    build_from_state,
    config_from_state,
    differences,
    guess_architecture,
    is_openai,
    join_positions,
    read_weights,
)
from clipbench.models.spec import OPEN_CLIP_CONFIG, ModelSpec, as_bool, as_positive
from clipbench.models.text_cleaning import requested
from clipbench.models.versions import require_tested
from clipbench.utils.hub import cache_if_unreached

_FILES = f"{OPEN_CLIP_CONFIG} and open_clip_model.safetensors"
_OPTIONS = ("quick_gelu", "force_quick_gelu", "image_size", "context_length", "lora_alpha", "weights_key")


def load(request: ModelSpec) -> OpenClipModel:
    """Load whatever ``request`` names.

    Raises:
        UnknownName: No such architecture or tag; the message has close matches.
        ModelError: The checkpoint cannot be found, read or used.
        ConfigError: An argument is invalid.
    """
    request.only("pretrained", "model_name", "center_crop", "crop", "text_cleaning", *_OPTIONS)
    center_crop, cleaning = requested_crop(request), requested(request)
    options = _read_options(request)
    require_tested("open_clip")
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    plan = make_plan(request)
    with cache_if_unreached(_asks_hub(plan)), checks.quiet():
        try:
            loaded = _open(plan, options, request.revision, dtype)
            checks.check_finite(request.id, loaded.module.state_dict())
            return OpenClipModel(
                loaded.module.to(device),
                load_tokenizer(loaded.config, loaded.directory, plan.source),
                loaded.config,
                id=request.id,
                architecture=_architecture_name(plan.architecture, loaded),
                dtype=dtype,
                revision=loaded.revision,
                center_crop=center_crop,
                cleaning=cleaning,
            )
        except ClipbenchError:
            raise
        except Exception as error:  # open_clip, the hub client, torch and pickle all raise what they like
            raise explain(error, plan.source, files=_FILES) from error


def _asks_hub(plan: Plan) -> bool:
    """Whether the weights, or what a local checkpoint names as its tokenizer or text tower, are on the hub."""
    import open_clip

    if plan.directory:
        config = plan.directory / OPEN_CLIP_CONFIG
        text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
        return "hf_model_name" in text or ("hf_tokenizer_name" in text and not has_tokenizer(plan.directory))
    if plan.file:
        named = open_clip.get_model_config(plan.architecture) if plan.architecture else {}
        return any(name.startswith("hf_") for name in named.get("text_cfg", {}))
    return True


@dataclass(frozen=True, slots=True)
class _Loaded:
    module: Any
    config: dict[str, Any]
    directory: Path | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class _Options:
    """What the user specifies about a checkpoint that its files may not contain."""

    quick_gelu: bool | None = None
    image_size: int | None = None
    context_length: int | None = None
    lora_alpha: float | None = None
    weights_key: str | None = None

    def overrule(self, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration as the user wants it."""
        config = copy.deepcopy(config)
        if self.quick_gelu is not None:
            config["quick_gelu"] = self.quick_gelu
        if self.image_size is not None:
            config["vision_cfg"]["image_size"] = self.image_size
        if self.context_length is not None:
            config["text_cfg"]["context_length"] = self.context_length
        return config


def _read_options(request: ModelSpec) -> _Options:
    given = {name: request.args[name] for name in _OPTIONS if request.args.get(name) is not None}
    forced = given.get("quick_gelu", given.get("force_quick_gelu"))
    return _Options(
        quick_gelu=None if forced is None else as_bool(forced, "quick_gelu"),
        image_size=as_positive(given.get("image_size"), "image_size", int),
        context_length=as_positive(given.get("context_length"), "context_length", int),
        lora_alpha=as_positive(given.get("lora_alpha"), "lora_alpha", float),
        weights_key=request.text("weights_key"),
    )


def _open(plan: Plan, options: _Options, revision: str | None, dtype: torch.dtype) -> _Loaded:
    import open_clip

    if plan.repository:
        return _from_repository(plan.repository, revision, dtype, options)
    if plan.directory:
        return _from_directory(plan.directory, dtype, options)
    if plan.file:
        return _from_file(plan.file, plan.architecture, dtype, options)
    if unused := [
        name for name in ("image_size", "context_length", "lora_alpha", "weights_key") if getattr(options, name)
    ]:
        raise ConfigError(f"{unused[0]} is for weights files: {plan.source} is published with its own")
    config = open_clip.get_model_config(plan.architecture)
    # If a tag was trained with QuickGELU and the architecture has GELU, open_clip only warns; here the tag decides.
    tagged = open_clip.get_pretrained_cfg(plan.architecture, plan.tag).get("quick_gelu", False)
    config = options.overrule({**config, "quick_gelu": bool(tagged or config.get("quick_gelu"))})
    return _Loaded(create(str(plan.architecture), config, dtype, pretrained=plan.tag), config)


def _from_repository(repository: str, revision: str | None, dtype: torch.dtype, options: _Options) -> _Loaded:
    from open_clip.pretrained import download_pretrained_from_hf

    config_file = Path(download_pretrained_from_hf(repository, filename=OPEN_CLIP_CONFIG, revision=revision))
    weights = Path(download_pretrained_from_hf(repository, revision=config_file.parent.name))
    if weights.parent != config_file.parent:
        raise ModelError(f"{repository} changed while it was downloaded: try again")
    # Both lie in the cache's folder of that commit, which open_clip reads as a local checkpoint.
    loaded = _from_directory(config_file.parent, dtype, options)
    return replace(loaded, directory=None, revision=config_file.parent.name)


def _from_directory(directory: Path, dtype: torch.dtype, options: _Options) -> _Loaded:
    path = directory / OPEN_CLIP_CONFIG
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8"))["model_cfg"])
        config = options.overrule(config)
        if not isinstance(config["text_cfg"], dict) or not isinstance(config["vision_cfg"], dict):
            raise TypeError("text_cfg and vision_cfg must be mappings")
    except FileNotFoundError:
        raise ModelError(f"{directory} holds no {OPEN_CLIP_CONFIG}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a valid open_clip configuration: {error!r}"[:400]) from None
    state = read_weights(_weights_file(directory), key=options.weights_key, lora_alpha=options.lora_alpha)
    config = fit_to_weights(config, state, str(directory), adjust=False)
    module = create(f"{LOCAL_PREFIX}{directory}", config, dtype)
    load_weights(module, state, str(directory))
    return _Loaded(module, config, directory=directory)


def _weights_file(directory: Path) -> Path:
    """The weights in a directory, the names that open_clip prefers first."""
    files = sorted(file for file in directory.iterdir() if file.suffix in (".safetensors", ".bin", ".pth", ".pt"))
    if not files:
        raise ModelError(f"{directory} holds {OPEN_CLIP_CONFIG} but no weights: add open_clip_model.safetensors")
    stems = ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")
    usual = [
        file
        for stem in stems
        for suffix in (".safetensors", ".bin", ".pth")
        for file in files
        if file.name == stem + suffix
    ]
    if not usual and len(files) > 1:
        raise ModelError(f"{directory} holds several files of weights, {files[0].name} and {files[1].name}: leave one")
    return (usual or files)[0]


def _from_file(file: Path, architecture: str | None, dtype: torch.dtype, options: _Options) -> _Loaded:
    import open_clip

    state = read_weights(file, key=options.weights_key, lora_alpha=options.lora_alpha)
    openai = is_openai(file, state)
    state = join_positions(state)
    named = architecture and open_clip.get_model_config(architecture)
    if openai and not (named and differences(named, config_from_state(state))):
        module, config = build_from_state(file, state, quick_gelu=options.quick_gelu is not False, dtype=dtype)
        _check_sizes(file, config, options)
        return _Loaded(module, config)
    name = architecture or guess_architecture(file, state, options.quick_gelu)
    if options.quick_gelu is None and f"{name}-quickgelu" in open_clip.list_models():
        raise ModelError(
            f"{file} does not say whether it was trained with QuickGELU, which changes its scores: write "
            f"open_clip:{name}-quickgelu/FILE if it was, as all models trained from OpenAI's weights, or "
            f"open_clip:{name}/FILE with model_args quick_gelu=false if it was not"
        )
    config = options.overrule(open_clip.get_model_config(name))
    config = fit_to_weights(config, state, str(file), adjust=True)
    _check_sizes(file, config, options)
    module = create(name, config, dtype)
    load_weights(module, state, str(file))
    return _Loaded(module, config)


def _check_sizes(file: Path, config: dict[str, Any], options: _Options) -> None:
    for part, name in (("vision_cfg", "image_size"), ("text_cfg", "context_length")):
        asked, shown = getattr(options, name), config[part].get(name)
        if asked is not None and asked != shown:
            raise ModelError(f"{file}: {name}={asked} was asked for, and the weights are for {shown}: leave it out")


def _architecture_name(name: str | None, loaded: _Loaded) -> str:
    """The architecture's name for results, with the sizes in which the weights differ from it."""
    import open_clip

    if name is None:
        return type(loaded.module).__name__
    named = open_clip.get_model_config(name)
    sizes = [("vision_cfg", "image_size"), ("text_cfg", "context_length")]
    other = [
        f"{key}={loaded.config[part].get(key)}"
        for part, key in sizes
        if loaded.config[part].get(key) != named[part].get(key)
    ]
    return ", ".join([name, *other])
