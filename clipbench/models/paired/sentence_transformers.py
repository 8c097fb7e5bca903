"""What a sentence-transformers folder says about its text encoder: pooling, layers after it, length, case, prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models.state_dicts import read_state_dict

_POOLINGS = {  # in the order in which several are put side by side
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
_SHORT = {"mean_sqrt_len_tokens": "mean_sqrt_len", "weightedmean": "weighted_mean", "lasttoken": "last"}
_KINDS = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")


@dataclass(frozen=True)
class SentenceModules:
    """The modules of a sentence-transformers model.

    Attributes:
        subfolder: Where the encoder and its tokenizer are; empty for the model's own folder.
        pooling: As ``clipbench.models.paired.pooling.pool_text`` takes it; None if there is no pooling module.
        layers: What follows the pooling, as ``clipbench.models.paired.projections.make_layers`` takes it.
        weights: The layers' weights, named as in that sequence.
        max_length: Tokens of a text; None if it does not say.
        lowercase: Whether texts are lower-cased.
        prompt: What is put before each text.
    """

    subfolder: str = ""
    pooling: str | None = None
    layers: tuple[Mapping[str, Any], ...] = ()
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)
    max_length: int | None = None
    lowercase: bool = False
    prompt: str = ""


class _Folder:
    """Files of a local directory or of a repository on the hub."""

    def __init__(self, source: str, revision: str | None) -> None:
        self._source, self._revision = source, revision

    def find(self, name: str) -> str | None:
        """The local path of a file; None if there is none of that name."""
        from transformers.utils.hub import cached_file

        found: str | None = cached_file(
            self._source, name, revision=self._revision, _raise_exceptions_for_missing_entries=False
        )
        return found

    def json(self, name: str) -> Any:
        """A JSON file; an empty dict if it is missing."""
        path = self.find(name)
        if path is None:
            return {}
        try:
            return json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{self._source}: {name} is not valid JSON: {error}") from None


def read_modules(source: str, revision: str | None) -> SentenceModules | None:
    """Read a model's ``modules.json`` and what it names; None if it is no sentence-transformers model.

    Raises:
        ModelError: A file is damaged or a module is of a kind that is not supported.
    """
    folder = _Folder(source, revision)
    listed = folder.json("modules.json")
    if not listed:
        return None
    try:
        modules = [(str(entry["type"]).rpartition(".")[2], str(entry["path"])) for entry in listed]
        return _read(folder, modules)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{source}: its sentence-transformers modules are damaged: {error}") from None


def _read(folder: _Folder, modules: list[tuple[str, str]]) -> SentenceModules:
    if unknown := [kind for kind, _ in modules if kind not in _KINDS]:
        raise ModelError(f"a module {unknown[0]} of sentence-transformers is not supported")
    if not modules or modules[0][0] != "Transformer":
        raise ModelError("the first sentence-transformers module is not a Transformer")
    subfolder = modules[0][1]
    settings = folder.json(_path(subfolder, "sentence_bert_config.json"))
    prompts = folder.json("config_sentence_transformers.json")
    prompt = (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name") or "", "")
    pooling: str | None = None
    layers: list[Mapping[str, Any]] = []
    weights: dict[str, torch.Tensor] = {}
    for kind, path in modules[1:]:
        config = folder.json(_path(path, "config.json"))
        if kind == "Pooling":
            pooling = _pooling(config)
            if prompt and not config.get("include_prompt", True):
                raise ModelError("its pooling leaves out the prompt's tokens, which is not supported")
            continue
        if kind == "Dropout":
            continue
        place = len(layers)
        layers.append(_layer(kind, config))
        if kind != "Normalize":
            tensors = _weights(folder, path)  # linear.weight, norm.bias, …
            weights |= {f"{place}.{name.rpartition('.')[2]}": tensor for name, tensor in tensors.items()}
    length = settings.get("max_seq_length")
    return SentenceModules(
        subfolder, pooling, tuple(layers), weights, length, bool(settings.get("do_lower_case")), str(prompt)
    )


def _pooling(config: Mapping[str, Any]) -> str:
    """Former versions wrote a flag for each pooling, newer ones write a name or a list of names."""
    if "pooling_mode" in config:
        written = config["pooling_mode"]
        names = [written] if isinstance(written, str) else list(written)
        return "+".join(_SHORT.get(name, name) for name in names)
    chosen = [name for flag, name in _POOLINGS.items() if config.get(flag)]
    if not chosen:
        raise ModelError("its 1_Pooling/config.json chooses no pooling")
    return "+".join(chosen)


def _layer(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "Normalize":
        return {"type": kind}
    if kind == "LayerNorm":
        return {"type": kind, "dimension": config["dimension"]}
    if config.get("use_residual"):
        raise ModelError("a Dense module with a residual connection is not supported")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    sizes = {"in_features": config["in_features"], "out_features": config["out_features"]}
    return {"type": kind, **sizes, "bias": config.get("bias", True), "activation": activation}


def _weights(folder: _Folder, path: str) -> dict[str, torch.Tensor]:
    found = next(
        filter(None, (folder.find(_path(path, name)) for name in ("model.safetensors", "pytorch_model.bin"))), None
    )
    if found is None:
        raise ModelError(f"{path} holds no weights")
    return dict(read_state_dict(Path(found)))


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
