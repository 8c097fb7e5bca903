"""Files of weights without a configuration: the architecture that names and shapes show."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models import checks
from clipbench.models.open_clip.torchscript import is_jit_archive, read_jit_archive

# Only OpenAI stored these three numbers with the weights.
_OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a file by name, running no code in it.

    Raises:
        ModelError: It holds no weights.
        pickle.UnpicklingError: It holds code.
    """
    from open_clip.factory import load_state_dict

    if is_jit_archive(path):
        return read_jit_archive(path)
    try:
        state = load_state_dict(str(path), weights_only=True)
        state = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    except (StopIteration, AttributeError, KeyError, IndexError):
        state = {}
    if not state:
        raise ModelError(f"{path} holds no weights by name (a state_dict)")
    return state


def is_openai(path: Path, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights are in OpenAI's own format, and so trained with QuickGELU."""
    layout = {"text_projection", "positional_embedding", "token_embedding.weight"} <= set(state)
    return layout and (is_jit_archive(path) or any(name in state for name in _OPENAI_NUMBERS))


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
    except (KeyError, IndexError) as error:
        raise ModelError(f"{path} does not hold the weights of a CLIP: there is no {error}") from None
    weights = {name: tensor for name, tensor in state.items() if name not in _OPENAI_NUMBERS}
    weights = {name: tensor for name, tensor in weights.items() if not name.endswith("attn_mask")}
    module = open_clip.CLIP(**copy.deepcopy(config), cast_dtype=None if dtype == torch.float32 else dtype)
    expected = module.state_dict()
    checks.check_keys(
        str(path),
        missing=set(expected) - set(weights),
        unexpected=set(weights) - set(expected),
        shapes=[n for n in expected if n in weights and expected[n].shape != weights[n].shape],
    )
    module.load_state_dict(weights)
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


def guess_architecture(path: Path, state: Mapping[str, torch.Tensor]) -> str:
    """The one named architecture that a state_dict in OpenAI's layout fits.

    Raises:
        ModelError: None fits, or several do, or the layout is another: the message says how to name one.
    """
    import open_clip

    names = []
    try:
        shape = _comparable(config_from_state(state))
        names = [name for name in open_clip.list_models() if _fits(open_clip.get_model_config(name), shape)]
    except (KeyError, IndexError):
        pass
    if len(names) == 1:
        return str(names[0])
    if names:  # a file does not say whether it was trained with QuickGELU, and a wrong guess scores differently
        reason = f"it fits {', '.join(names)}, and the weights do not say which"
    else:
        reason = "the weights do not show its architecture"
    raise ModelError(f"{path}: {reason}: name it, as open_clip:ARCH/{path} or with model_args model_name=ARCH")


def _fits(config: dict[str, Any], shape: dict[str, Any]) -> bool:
    plain = not config.get("custom_text") and "timm_model_name" not in config["vision_cfg"]
    return plain and "hf_model_name" not in config["text_cfg"] and _comparable(config) == shape


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    numbers = {f"image {key}": vision.get(key) for key in ("image_size", "layers", "width", "patch_size")}
    numbers |= {f"text {key}": text.get(key) for key in ("context_length", "vocab_size", "width", "layers")}
    return {"embed_dim": config["embed_dim"], **numbers}
