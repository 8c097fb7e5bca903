"""How a model is loaded: the adapters, built in and from plugins, and which of them reads what."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from clipbench.errors import ConfigError, ModelError, ModelTypeError, UnknownName
from clipbench.models.base import Model
from clipbench.models.spec import (
    KINDS,
    ModelSpec,
    as_bool,
    is_results_folder,
    local_adapter,
    looks_like_path,
    split_prefix,
)
from clipbench.utils.files import require_regular
from clipbench.utils.registry import Registry, close_matches

ENTRY_POINTS = "clipbench.models"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A way to load models.

    Attributes:
        name: The prefix in ``NAME:…``.
        example: How a model is written, by example.
        description: What it loads, in one line.
        opens_images: Whether its models need the photographs.
        loader: A function from ``ModelSpec`` to ``Model``, or where one is, as ``module:function``.
    """

    name: str
    example: str
    description: str
    loader: Callable[[ModelSpec], Model] | str
    opens_images: bool = True

    def load(self, request: ModelSpec) -> Model:
        """Load the model that ``request`` asks for."""
        if not isinstance(self.loader, str):
            return self.loader(request)
        module, _, function = self.loader.partition(":")
        loader = cast(Callable[[ModelSpec], Model], getattr(importlib.import_module(module), function))
        return loader(request)


ADAPTERS: Registry[Adapter] = Registry("model library", "clipbench ls models")

_BUILT_IN = (
    Adapter(
        "hf",
        "hf:ORG/NAME, ORG/NAME, DIR",
        "any transformers model with text and image features: CLIP, MetaCLIP, SigLIP (2), ALIGN, AltCLIP, …",
        "clipbench.models.hf_loading:load",
    ),
    Adapter(
        "open_clip",
        "open_clip:ARCH/TAG, open_clip:hf-hub:ORG/NAME, open_clip:ARCH/FILE, DIR, FILE.pt, FILE.safetensors",
        "any open_clip model: named weights, hub repositories, local checkpoints, OpenAI's archives",
        "clipbench.models.open_clip.loading:load",
    ),
    Adapter(
        "dual_encoder",
        "dual_encoder:DIR, dual_encoder with model_args vision=ID,text=ID",
        "any image encoder and any text encoder of transformers, paired; or a saved VisionTextDualEncoder",
        "clipbench.models.hf_loading:load_dual",
    ),
    Adapter(
        "embeddings",
        "embeddings:FILE.npz, embeddings:FILE.safetensors, embeddings:FILE.parquet",
        "embeddings that were computed elsewhere, by image key and text (`clipbench embed` writes them)",
        "clipbench.models.embeddings:load",
        opens_images=False,
    ),
    Adapter(
        "text_only",
        "text_only:gpt2, text_only:DIR",
        "a causal language model of transformers, which sees no image: texts are scored by their likelihood",
        "clipbench.models.text_only:load",
        opens_images=False,
    ),
    Adapter(
        "demo",
        "demo",
        "the small CLIP that comes with clipbench, trained on its embedded world (clipbench.scenes)",
        "clipbench.models.demo:load",
    ),
)
for _adapter in _BUILT_IN:
    ADAPTERS.register(_adapter.name, _adapter)

_PLACES = ("pretrained", "vision", "text")  # arguments that may name a directory
_plugins_loaded = False


def adapters() -> list[Adapter]:
    """All adapters by name: the built-in ones, and those of installed plugins (entry points ``clipbench.models``).

    An entry point names an ``Adapter``.

    Raises:
        ConfigError: A plugin is broken.
    """
    global _plugins_loaded
    if not _plugins_loaded:
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            try:
                found = point.load()
            except Exception as error:  # a plugin may raise anything while it is imported
                raise ConfigError(f"model plugin {point.name!r} ({point.value}) is broken: {error}") from error
            if not isinstance(found, Adapter):
                raise ConfigError(f"model plugin {point.name!r} ({point.value}) is not a clipbench.models.Adapter")
            ADAPTERS.register(found.name, found)
        _plugins_loaded = True
    return list(ADAPTERS.values())


def model_name(model: object, model_args: Mapping[str, object]) -> str:
    """What results call a model: as it was written, and where that names only a library, with the rest of it.

    A model in memory is named by its class.

    Examples:
        >>> model_name("hf", {"pretrained": "openai/clip-vit-base-patch32"})
        'openai/clip-vit-base-patch32'

    Examples:
            >>> model_name("open_clip", {"model_name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"})
            'open_clip:ViT-B-32/laion2b_s34b_b79k'
    """
    if isinstance(model, Model):
        return model.id
    if not isinstance(model, str | os.PathLike):
        network = model[0] if isinstance(model, tuple | list) and model else model
        return f"in-memory:{type(network).__name__}"
    spec = str(model).strip()
    if spec not in ADAPTERS:
        return spec
    parts = [str(model_args[key]) for key in ("model_name", "pretrained", "vision", "text") if key in model_args]
    if spec == "hf" and parts:
        return parts[0]
    return ":".join([spec, *(["/".join(parts)] if parts else [])])


def load_model(
    model: object,
    *,
    model_args: Mapping[str, object] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    torch_compile: bool = False,
) -> Model:
    """Load a model, in evaluation mode, or take one that is in memory.

    Args:
        model: ``openai/clip-vit-base-patch32``, ``open_clip:ViT-B-32/laion2b_s34b_b79k``, a directory, a file, or an
            adapter's name with ``model_args`` for the rest (``pretrained=…``): see ``adapters``. In memory, used
            without a copy: a ``Model``, a ``(transformers model, processor)`` pair, an ``(open_clip model,
            preprocess, tokenizer)`` triple, or an object with ``encode_image(list of PIL images)`` and
            ``encode_text(list of str)``, which return one vector per item as an array or tensor.
        model_args: The adapter's arguments. ``device``, ``dtype``, ``revision`` and ``trust_remote_code`` may be
            among them; the arguments below take precedence.
        device: ``cpu``, ``cuda``, ``cuda:1``, …; by default ``cuda`` where there is one. The network of a
            pair or triple is moved there; by default it stays where it is.
        dtype: ``float32`` (the default everywhere), ``bfloat16`` or ``float16``. A model in memory must have it.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Let code that comes with a checkpoint run.
        torch_compile: Compile the towers; see ``clipbench.models.compiling.compile_towers``.

    Raises:
        UnknownName: No adapter, architecture or tag of that name; the message has close matches.
        ModelError: The checkpoint cannot be found, read or used.
        ModelTypeError: ``model`` is none of the above.
        ConfigError: An argument is invalid.
    """
    spec = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    args = dict(model_args or {})
    request = ModelSpec(
        id=model_name(model, args),
        source="",
        device=_text(device, args.pop("device", None)),
        dtype=_text(dtype, args.pop("dtype", None)),
        revision=_text(revision, args.pop("revision", None)),
        trust_remote_code=as_bool(args.pop("trust_remote_code", False), "trust_remote_code") or trust_remote_code,
        args=args,
    )
    loaded = _from_memory(model, request) if spec is None else _load(spec, request)
    if torch_compile:
        from clipbench.models.compiling import compile_towers

        compile_towers(loaded)
    return loaded


def _load(spec: str, request: ModelSpec) -> Model:
    if not spec.strip():
        raise ConfigError("no model was named: pass a hub id, a directory, or ADAPTER:NAME (see `clipbench ls models`)")
    known = {adapter.name: adapter for adapter in adapters()}
    name, source = split_prefix(spec.strip(), list(known))
    request = replace(request, source=source)
    if name is None:
        name, request = _find_adapter(request)
    for place in filter(None, (request.source, *(request.args.get(name) for name in _PLACES))):
        _require_regular_files(Path(str(place).removeprefix("local-dir:")).expanduser())
    return known[name].load(request)


def _require_regular_files(folder: Path) -> None:
    """Refuse a FIFO among a checkpoint's files, which libraries would wait for forever."""
    for file in folder.iterdir() if folder.is_dir() else ():
        try:
            if file.exists() and not file.is_dir():
                require_regular(file)
        except OSError as error:
            raise ModelError(f"{file}: {error.strerror}") from None


def _from_memory(model: object, request: ModelSpec) -> Model:
    from clipbench.models.in_memory import wrap_model
    from clipbench.models.text_cleaning import requested

    cleaning = requested(request)
    request = replace(request, args={key: value for key, value in request.args.items() if key != "text_cleaning"})
    unused = [*request.args, *(["revision"] if request.revision else [])]
    if unused:
        raise ConfigError(f"model arguments {', '.join(unused)} are for checkpoints; the model is in memory already")
    return wrap_model(model, device=request.device, dtype=request.dtype, cleaning=cleaning)


def _text(flag: str | None, argument: object) -> str | None:
    return flag if flag is not None else None if argument is None else str(argument)


def opens_images(model: str) -> bool:
    """Whether a model of this name needs the photographs; see ``Adapter``."""
    known = {adapter.name: adapter for adapter in adapters()}
    name, _ = split_prefix(model.strip(), list(known))
    return name is None or known[name].opens_images


def check_name(model: object) -> None:
    """Refuse, without torch or the hub, a name that cannot be a model's, or an object that cannot be one.

    Raises:
        ModelTypeError: It is no name, and none of what a model in memory may be.
        UnknownName: It is neither a hub id nor any known name; the message has close matches.
        ModelError: A path that does not exist, or holds no checkpoint.
    """
    if not isinstance(model, str | os.PathLike):
        parts = ("get_image_features", "encode_image")
        if not isinstance(model, Model | tuple | list) and not any(hasattr(model, part) for part in parts):
            raise ModelTypeError(f"a model cannot be of type {type(model).__name__}: pass {KINDS}")
        return
    name, source = split_prefix(os.fspath(model).strip(), [adapter.name for adapter in adapters()])
    if name is not None or not source:
        return
    if _is_local(source):
        local_adapter(Path(source).expanduser())
        return
    if looks_like_path(source):
        raise ModelError(f"no such file or directory: {source}")
    from clipbench.models.open_clip.names import near_architecture

    near = near_architecture(source)
    if near or "/" not in source:
        near = f" (did you mean {near}?)" if near else close_matches(source, [adapter.name for adapter in adapters()])
        raise UnknownName(
            f"unknown model {source!r}{near}: pass a path, a hub id OWNER/NAME, or open_clip:ARCH/TAG; "
            "`clipbench ls models` lists all forms"
        )


def _is_local(source: str) -> bool:
    """Whether a source is a local file or directory, other than a folder of results named like a model."""
    path = Path(source).expanduser()
    return path.exists() and (looks_like_path(source) or not is_results_folder(path))


def _find_adapter(request: ModelSpec) -> tuple[str, ModelSpec]:
    """Which adapter reads a source without prefix: by the files of the directory or of the hub repository."""
    check_name(request.source)
    path = Path(request.source).expanduser()
    if _is_local(request.source):
        return local_adapter(path), replace(request, source=str(path))
    from clipbench.models.hub_files import holds_open_clip

    if holds_open_clip(request.source, request.revision):
        return "open_clip", replace(request, source=f"hf-hub:{request.source}")
    return "hf", request
