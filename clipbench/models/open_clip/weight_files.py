"""Files of weights without a configuration: the architecture that names and shapes show."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models.open_clip.building import load_weights
from clipbench.models.open_clip.fitting import fit_to_weights
from clipbench.models.open_clip.torchscript import is_jit_archive, read_jit_archive
from clipbench.models.state_dicts import check_file, read_state_dict

# Long-CLIP's code is OpenAI's, and only OpenAI stored these three numbers with the weights.
_LONG_CLIP = "positional_embedding_res"
_OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")

_SIZES = ("image image_size", "text context_length")


def read_weights(path: Path, *, key: str | None = None, lora_alpha: float | None = None) -> dict[str, torch.Tensor]:
    """Read the weights of a file by name, running no code in it; arguments as of ``read_state_dict``.

    Raises:
        ModelError: It holds no weights, or several sets of them.
        pickle.UnpicklingError: It holds code.
    """
    check_file(path)
    return read_jit_archive(path) if is_jit_archive(path) else read_state_dict(path, key=key, lora_alpha=lora_alpha)


def join_positions(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Join Long-CLIP's two tables of positions (arXiv 2403.15378) into one: it uses 20 rows of the first."""
    joined = dict(state)
    stretched = joined.pop(_LONG_CLIP, None)
    if stretched is not None:
        joined["positional_embedding"] = torch.cat([joined["positional_embedding"][:20], stretched[20:]])
    return joined


def is_openai(path: Path, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights are in OpenAI's own format, and so trained with QuickGELU."""
    layout = {"text_projection", "positional_embedding", "token_embedding.weight"} <= set(state)
    return layout and (is_jit_archive(path) or any(name in state for name in (_LONG_CLIP, *_OPENAI_NUMBERS)))


def build_from_state(
    path: Path, state: Mapping[str, torch.Tensor], *, quick_gelu: bool, dtype: torch.dtype
) -> tuple[Any, dict[str, Any]]:
    """Build a CLIP with the architecture that its weights show. Returns the network and its configuration.

    Raises:
        ModelError: The weights are not those of a CLIP.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg

    try:
        config = {**config_from_state(state), "quick_gelu": quick_gelu}
        config = fit_to_weights(config, state, str(path), adjust=True)
    except (KeyError, IndexError) as error:
        raise ModelError(f"{path} does not hold the weights of a CLIP: there is no {error}") from None
    module = open_clip.CLIP(**copy.deepcopy(config), cast_dtype=None if dtype == torch.float32 else dtype)
    load_weights(module, state, str(path))
    if dtype != torch.float32:
        open_clip.convert_weights_to_lp(module, dtype)  # keeps LayerNorms in float32
    preprocess = {**PreprocessCfg().__dict__, "size": module.visual.image_size}
    open_clip.set_model_preprocess_cfg(module, preprocess)
    return module, config


def config_from_state(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The ``model_cfg`` of a CLIP in OpenAI's layout, from the shapes of its weights; all but the activation.

    Raises:
        KeyError: A weight that every such CLIP has is missing.
    """
    positions = state["positional_embedding"].shape[0]
    width = int(state["ln_final.weight"].shape[0])
    return {
        "embed_dim": int(state["text_projection"].shape[1]),
        "vision_cfg": _vision(state),
        "text_cfg": {
            "context_length": int(positions),
            "vocab_size": int(state["token_embedding.weight"].shape[0]),
            "width": width,
            "heads": max(width // 64, 1),
            "layers": _count(state, "transformer.resblocks.", 2),
        },
    }


def _vision(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    if "visual.proj" in state:
        width, _, _, patch = state["visual.conv1.weight"].shape
        grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        layers = _count(state, "visual.transformer.resblocks.", 3)
        return {"image_size": patch * grid, "layers": layers, "width": width, "patch_size": patch}
    grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    blocks = [_count(state, f"visual.layer{stage}.", 2) for stage in (1, 2, 3, 4)]
    width = int(state["visual.layer1.0.conv1.weight"].shape[0])
    return {"image_size": grid * 32, "layers": blocks, "width": width, "patch_size": None}


def _count(state: Mapping[str, torch.Tensor], prefix: str, place: int) -> int:
    return len({name.split(".")[place] for name in state if name.startswith(prefix)})


def guess_architecture(path: Path, state: Mapping[str, torch.Tensor], quick_gelu: bool | None) -> str:
    """The one named architecture that a state_dict in OpenAI's layout fits; its image and context may have other sizes.

    Args:
        path: The file, for messages.
        state: Its weights.
        quick_gelu: The activation, if the user gives it.

    Raises:
        ModelError: None fits, or several do, or the layout is another: the message says how to name one.
    """
    import open_clip

    try:
        shape = config_from_state(state)
    except (KeyError, IndexError):
        shape = None
    known = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    fits = {name: config for name, config in known.items() if shape and not differences(config, shape)}
    exact = {name: config for name, config in fits.items() if not differences(config, shape or {}, _SIZES)}
    names = list(_distinct(exact or fits, quick_gelu))
    if len(names) == 1:
        return str(names[0])
    if names:  # a file does not say whether it was trained with QuickGELU, and a wrong guess scores differently
        reason = f"it fits {', '.join(names[:4])}, and the weights do not say which"
    elif any(name.startswith(("text_model.", "vision_model.")) for name in state):
        reason = "its weights have transformers' names: pass a folder with its config.json and tokenizer, or else"
    else:
        reason = "the weights do not show its architecture"
    raise ModelError(f"{path}: {reason}: name it, as open_clip:ARCH/{path.name} or with model_args model_name=ARCH")


def differences(config: Mapping[str, Any], shape: Mapping[str, Any], also: tuple[str, ...] = ()) -> list[str]:
    """How an architecture differs from that of the weights, ignoring image and context size unless in ``also``."""
    own, shown = _comparable(config), _comparable(shape)
    return [
        f"{name} {shown[name]} for {own[name]}"
        for name in own
        if name not in _SIZES or name in also
        if own[name] != shown[name]
    ]


def _distinct(fits: Mapping[str, dict[str, Any]], quick_gelu: bool | None) -> Iterator[str]:
    """Architectures that differ in more than image and context size; only those with the given activation, if any."""
    seen = []
    wanted = [name for name in fits if quick_gelu in (None, bool(fits[name].get("quick_gelu")))]
    for name in wanted or fits:
        config = copy.deepcopy(fits[name])
        config["quick_gelu"] = bool(config.get("quick_gelu")) if quick_gelu is None else quick_gelu
        config["vision_cfg"].pop("image_size", None)
        config["text_cfg"].pop("context_length", None)
        if config not in seen:
            seen.append(config)
            yield name


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    towers = config.get("custom_text"), vision.get("timm_model_name"), text.get("hf_model_name")
    numbers = {f"image {key}": vision.get(key) for key in ("image_size", "layers", "width", "patch_size")}
    numbers |= {f"text {key}": text.get(key) for key in ("context_length", "vocab_size", "width", "layers")}
    return {"embed_dim": config["embed_dim"], "towers": towers, **numbers}
