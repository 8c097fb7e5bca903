"""Models that are in memory already: the libraries' own objects, and anything with two encoders."""

from __future__ import annotations

import tempfile
from typing import Any

import torch

from clipbench.errors import ConfigError, ModelError, ModelTypeError
from clipbench.models import checks, probes
from clipbench.models.base import Model
from clipbench.models.encoders import EncoderModel
from clipbench.models.hf import TransformersModel
from clipbench.models.open_clip.adapter import OpenClipModel
from clipbench.models.open_clip.architecture import architecture_of
from clipbench.models.spec import KINDS, NATIVE, TRAINED
from clipbench.models.versions import require_tested


def wrap_model(model: object, *, device: str | None = None, dtype: str | None = None, cleaning: str = TRAINED) -> Model:
    """Make a ``Model`` of what is in memory. The network is not copied; it is put into evaluation mode.

    Args:
        model: A pair, triple or object as ``clipbench.load_model`` takes them, or a ``Model``.
        device: Where to move a network of a pair or triple; by default it stays where it is, as all others do.
        dtype: The precision that it must have.
        cleaning: ``trained`` or ``native``, see ``clipbench.models.text_cleaning``.

    Raises:
        ModelTypeError: It is none of these.
        ConfigError: It has another precision.
        ModelError: The model cannot be used: weights that are not finite, sides that do not fit, an encoder that fails.
    """
    with checks.quiet():
        wrapped = _wrap(model, device, cleaning)
    if dtype is not None and checks.resolve_dtype(dtype) != wrapped.dtype:
        raise ConfigError(
            f"{wrapped.id} computes in {checks.dtype_name(wrapped.dtype)}, not in {dtype}: "
            f"a model in memory keeps its precision, so convert it first"
        )
    return wrapped


def _wrap(model: object, device: str | None, cleaning: str) -> Model:
    if isinstance(model, Model):
        _only_trained(cleaning, type(model).__name__)
        return model
    if isinstance(model, tuple | list):
        parts = list(model)
        if len(parts) == 2 and hasattr(parts[0], "get_image_features"):
            return _from_transformers(parts[0], parts[1], device, cleaning)
        if len(parts) == 3 and _is_open_clip(parts[0]):
            return _from_open_clip(parts[0], parts[1], parts[2], device, cleaning)
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise ModelTypeError(f"a model cannot be ({kinds}): pass {KINDS}")
    name = type(model).__name__
    if hasattr(model, "get_image_features"):
        raise ModelTypeError(f"a {name} alone lacks its preprocessing: pass (model, processor)")
    if _is_open_clip(model):
        raise ModelTypeError(f"a {name} alone lacks its preprocessing: pass (model, preprocess, tokenizer)")
    if callable(getattr(model, "encode_image", None)) and callable(getattr(model, "encode_text", None)):
        _only_trained(cleaning, name)
        return EncoderModel(model)
    raise ModelTypeError(f"a model cannot be of type {name}: pass {KINDS}")


def _only_trained(cleaning: str, name: str) -> None:
    if cleaning == NATIVE:
        raise ConfigError(f"text_cleaning={NATIVE} is for models of transformers and open_clip, not for a {name}")


def _is_open_clip(network: object) -> bool:
    return isinstance(network, torch.nn.Module) and all(
        hasattr(network, part) for part in ("visual", "encode_image", "encode_text", "logit_scale")
    )


def _identify(network: torch.nn.Module) -> str:
    """The id of a network in memory, once its weights are known to be finite."""
    name = f"in-memory:{type(network).__name__}"
    checks.check_finite(name, network.state_dict())
    return name


def _from_transformers(network: Any, processor: Any, device: str | None, cleaning: str) -> TransformersModel:
    require_tested("transformers")
    name = _identify(network)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ConfigError(
            f"{name}: a {type(processor).__name__} is no processor with a tokenizer and an image_processor: "
            "pass (model, AutoProcessor.from_pretrained(…))"
        )
    if device is not None:
        network.to(checks.resolve_device(device))
    return TransformersModel(
        network, processor.tokenizer, _on_pil(processor.image_processor), id=name, cleaning=cleaning
    )


def _on_pil(image_processor: Any) -> Any:
    """An image processor's PIL twin, as for checkpoints on disk; the processor itself where it has none."""
    from transformers import AutoImageProcessor

    load: Any = AutoImageProcessor.from_pretrained
    try:
        with tempfile.TemporaryDirectory() as folder:
            image_processor.save_pretrained(folder)
            return load(folder, backend="pil")
    except (AttributeError, ImportError, OSError, TypeError, ValueError):  # a class of the user's own
        return image_processor


def _from_open_clip(network: Any, preprocess: Any, tokenizer: Any, device: str | None, cleaning: str) -> OpenClipModel:
    require_tested("open_clip")
    name = _identify(network)
    if not callable(preprocess):
        raise ConfigError(f"{name}: a {type(preprocess).__name__} does not turn a PIL image into a tensor")
    if not callable(tokenizer) or not hasattr(tokenizer, "context_length"):
        raise ConfigError(
            f"{name}: a {type(tokenizer).__name__} is no tokenizer of open_clip: pass open_clip.get_tokenizer(…)"
        )
    image = probes.noise_image(*probes.NOISE_SIZES[0])
    try:
        first, again = preprocess(image), preprocess(image)
    except Exception as error:  # a transform of the user's own
        raise ModelError(f"{name}: preprocess failed on a PIL image: {error}") from error
    if not isinstance(first, torch.Tensor) or not torch.equal(first, again):
        raise ConfigError(f"{name}: preprocess must give one image one tensor: pass the evaluation transform")
    if device is not None:
        network.to(checks.resolve_device(device))
    dtypes = {parameter.dtype for parameter in network.parameters()}
    return OpenClipModel(
        network,
        tokenizer,
        architecture_of(network),
        id=name,
        architecture=type(network).__name__,
        dtype=min(dtypes, key=lambda dtype: dtype.itemsize),  # mixed precision keeps LayerNorms in float32
        transform=preprocess,
        cleaning=cleaning,
    )
