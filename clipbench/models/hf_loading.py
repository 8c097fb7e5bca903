"""Loading transformers checkpoints: safely, whole, and with the PIL image processor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ClipbenchError, ConfigError, ModelError
from clipbench.models import checks
from clipbench.models.hf import TransformersModel
from clipbench.models.hf_checks import check_size, check_vocabulary
from clipbench.models.load_errors import explain
from clipbench.models.peft_adapters import adapter_base, merge_adapter
from clipbench.models.registry import check_name
from clipbench.models.spec import PAIRED_ENCODERS, TRANSFORMERS_CONFIG, ModelSpec
from clipbench.models.state_dicts import check_file, read_state_dict
from clipbench.models.text_cleaning import requested
from clipbench.models.versions import require_tested
from clipbench.utils.hub import cache_if_unreached

_FEWEST_TOKENS = 20
# Counters that older versions of transformers saved and newer ones compute.
_HARMLESS = ("position_ids", "token_type_ids", "num_batches_tracked")


def load(request: ModelSpec) -> TransformersModel:
    """Load a hub id or a local directory.

    Raises:
        ModelError: It cannot be found, read or used; the message says what to do.
        ConfigError: An argument is invalid.
    """
    from transformers import AutoModel

    request.only("pretrained", "base", "text_cleaning")
    one_source(request, "pretrained")
    source = request.source or request.text("pretrained")
    if not source:
        raise ConfigError(f"{request.id}: name a checkpoint: hf:ORG/NAME, or model_args pretrained=ORG/NAME")
    if not Path(source).exists():
        check_name(source)
    require_tested("transformers")
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    with cache_if_unreached(not Path(source).exists()), checks.quiet():
        try:
            base = adapter_base(source, request)
            if base is not None:
                return _with_adapter(base, source, request, device, dtype)
            if (values := _saved_pair(source, request)) is not None:
                from clipbench.models.paired.loading import load_saved

                return load_saved(source, values, request)
            config = _config(source, request)
            module = load_network(AutoModel, source, config, request, dtype)
            return finish(module.to(device), request, config=config, text=source, image=source)
        except ClipbenchError:
            raise
        except Exception as error:  # transformers, the hub client, safetensors and pickle all raise what they like
            raise explain(error, source) from error


def _with_adapter(
    base: str, adapter: str, request: ModelSpec, device: torch.device, dtype: torch.dtype
) -> TransformersModel:
    """A base model with a PEFT adapter merged into it; tokenizer and image processor are the base's."""
    from transformers import AutoModel

    original = replace(request, revision=None)
    try:
        config = _config(base, original)
        module = load_network(AutoModel, base, config, original, dtype)
    except ClipbenchError:
        raise
    except Exception as error:  # as above
        raise explain(error, f"{base} (the base of the PEFT adapter {adapter})") from error
    module = merge_adapter(module, adapter, request.revision)
    return finish(module.to(device), original, config=config, text=base, image=base)


def load_dual(request: ModelSpec) -> TransformersModel:
    """Load a saved VisionTextDualEncoder, or pair any two encoders (``vision=…,text=…``).

    Pairing leaves the projections untrained (seeded, so that two loads agree): scores are at chance until training.

    Raises:
        ModelError: An encoder cannot be found, read or used.
        ConfigError: Neither a checkpoint nor both encoders were named.
    """
    from clipbench.models.paired.loading import ARGUMENTS, load_pair

    request.only("pretrained", *ARGUMENTS)
    vision, text = request.text("vision"), request.text("text")
    one_source(request, "pretrained", *(name for name in ARGUMENTS if name != "text_cleaning"))
    if request.source or request.text("pretrained"):
        names = {name: request.args[name] for name in ("pretrained", "text_cleaning") if name in request.args}
        return load(replace(request, args=names))
    if not vision or not text:
        raise ConfigError(
            f"{request.id}: name a checkpoint (dual_encoder:DIR), or both encoders (model_args vision=ID,text=ID)"
        )
    require_tested("transformers")
    with cache_if_unreached(not (Path(vision).exists() and Path(text).exists())), checks.quiet():
        try:
            return load_pair(vision, text, request)
        except ClipbenchError:
            raise
        except Exception as error:  # as above
            raise explain(error, f"{vision} with {text}") from error


def one_source(request: ModelSpec, *names: str) -> None:
    """Refuse arguments that would be ignored: a second checkpoint, or the revision of a directory."""
    source = request.source or request.text("pretrained")
    named = [name for name in names if name in request.args and (request.source or name != "pretrained")]
    if source and named:
        raise ConfigError(f"{request.id}: {source} is the checkpoint: leave {', '.join(named)} out of the model_args")
    if source and request.revision and Path(source).exists():
        raise ConfigError(f"{request.id}: {source} is local, and has no revision {request.revision}: leave it out")


def finish(module: Any, request: ModelSpec, *, config: Any, text: str, image: str) -> TransformersModel:
    """Check a network's weights and give it its tokenizer and image processor."""
    checks.check_finite(request.id, module.state_dict())
    tokenizer = load_tokenizer(text, request)
    check_vocabulary(text, tokenizer, getattr(module.config.get_text_config(), "vocab_size", None))
    processor = load_processor(image, config, request)
    return TransformersModel(module, tokenizer, processor, id=request.id, cleaning=requested(request))


def load_processor(source: str, config: Any, request: ModelSpec) -> Any:
    """The PIL image processor of a checkpoint; ``config`` is that of its image encoder or of the whole model."""
    from transformers import AutoImageProcessor

    if getattr(config, "model_type", None) == "timm_wrapper" and getattr(config, "pretrained_cfg", None):
        from transformers import TimmWrapperImageProcessor  # imports timm, which takes as long as the demo model

        processor: Any = TimmWrapperImageProcessor  # its settings are in the configuration; its transforms are PIL's
        return processor(pretrained_cfg=config.pretrained_cfg, architecture=config.architecture)
    # The default backend, torchvision, resizes differently: pixels are off by up to 0.015.
    load: Any = AutoImageProcessor.from_pretrained
    options: dict[str, Any] = {"revision": request.revision, "trust_remote_code": request.trust_remote_code}
    return load(source, backend="pil", config=config, **options)


def load_tokenizer(source: str, request: ModelSpec, *, subfolder: str = "") -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        ModelError: There is none.
    """
    from transformers import AutoTokenizer

    options: dict[str, Any] = {"revision": request.revision, "trust_remote_code": request.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(source, subfolder=subfolder, **options)
    if len(tokenizer) < _FEWEST_TOKENS:  # without files, transformers makes an empty tokenizer
        raise ModelError(f"{source} holds no tokenizer: add tokenizer.json, or the original model's vocabulary files")
    return tokenizer


def _saved_pair(source: str, request: ModelSpec) -> dict[str, Any] | None:
    """The configuration of a pair that clipbench saved; None for a model of transformers."""
    from transformers import PretrainedConfig

    check_json(source)
    values, _ = PretrainedConfig.get_config_dict(source, revision=request.revision)
    return values if values.get("model_type") == PAIRED_ENCODERS else None


def _config(source: str, request: ModelSpec) -> Any:
    from transformers import MODEL_MAPPING, AutoConfig

    check_json(source)
    config = AutoConfig.from_pretrained(source, revision=request.revision, trust_remote_code=request.trust_remote_code)
    remote = request.trust_remote_code and "AutoModel" in (getattr(config, "auto_map", None) or {})
    if remote:
        return config
    network: Any = MODEL_MAPPING.get(type(config), None)
    if isinstance(network, tuple):
        network = network[0]
    lacking = [side for side in ("text", "image") if not hasattr(network, f"get_{side}_features")]
    if lacking:
        raise ModelError(
            f"{source} is a {config.model_type} model and has no {' and no '.join(lacking)} features: pass a CLIP-like "
            "model, or pair it with another encoder (model dual_encoder, model_args vision=…,text=…)"
        )
    return config


def check_json(source: str) -> None:
    """Refuse a directory whose configuration is not JSON."""
    path = Path(source) / TRANSFORMERS_CONFIG
    if not path.is_file():
        return
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from None


def check_weight_files(source: str) -> None:
    """Refuse a directory with files that only look like weights.

    Raises:
        ModelError: A file is empty, a web page or a pointer.
    """
    for file in (*Path(source).glob("*.safetensors"), *Path(source).glob("*.bin")) if Path(source).is_dir() else ():
        check_file(file)


def load_network(kind: Any, source: str, config: Any, request: ModelSpec, dtype: torch.dtype) -> Any:
    """The network of a checkpoint, by one of transformers' ``Auto…`` classes.

    Raises:
        ModelError: The weights do not fit the architecture.
    """
    check_weight_files(source)
    check_size(source, config)
    options: dict[str, Any] = {
        "config": config,
        "dtype": dtype,
        "weights_only": True,  # .bin files are pickles; this reads tensors and no code
        "ignore_mismatched_sizes": True,  # so that they are reported below, all in one line
        "output_loading_info": True,
    }
    module, found = kind.from_pretrained(
        source, revision=request.revision, trust_remote_code=request.trust_remote_code, **options
    )
    if found["missing_keys"] and found["unexpected_keys"] and (state := _without_prefixes(source)):
        module, found = type(module).from_pretrained(None, state_dict=state, **options)
    checks.check_keys(
        source,
        missing=_serious(found["missing_keys"]),
        unexpected=_serious(found["unexpected_keys"]),
        shapes=[f"{name}: {tuple(has)} for {tuple(wants)}" for name, has, wants in found["mismatched_keys"]],
    )
    return module


def _without_prefixes(source: str) -> dict[str, torch.Tensor] | None:
    """The weights of a directory, without the prefixes that torch.compile and other wrappers put before names."""
    files = (Path(source) / name for name in ("model.safetensors", "pytorch_model.bin"))
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else read_state_dict(file)


def _serious(names: Any) -> list[str]:
    return [str(name) for name in names if not str(name).endswith(_HARMLESS)]
