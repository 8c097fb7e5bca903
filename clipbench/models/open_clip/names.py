"""What an open_clip model's name means: an architecture, and where its weights come from."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import ConfigError, ModelError, UnknownName
from clipbench.models.spec import WEIGHT_SUFFIXES, ModelSpec
from clipbench.utils.registry import close_matches

HUB_PREFIX, LOCAL_PREFIX = "hf-hub:", "local-dir:"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where weights come from: exactly one of a tag, a hub repository, a directory or a file.

    Attributes:
        architecture: One of ``open_clip.list_models()``; None where the checkpoint says it.
        tag: Weights that open_clip knows by name.
        repository: A hub id.
        directory: A directory with ``open_clip_config.json``.
        file: A file of weights.
    """

    architecture: str | None = None
    tag: str | None = None
    repository: str | None = None
    directory: Path | None = None
    file: Path | None = None

    @property
    def source(self) -> str:
        """The weights, as messages name them."""
        return str(self.repository or self.directory or self.file or f"{self.architecture}/{self.tag}")


def make_plan(request: ModelSpec) -> Plan:
    """Read the source and its arguments.

    Raises:
        UnknownName: No such architecture or tag; the message has close matches.
        ModelError: No such file or directory.
        ConfigError: Arguments contradict each other.
    """
    source, pretrained = request.source, request.text("pretrained")
    named = request.text("model_name")
    if source and pretrained:
        plan = _with_weights(_architecture(source), pretrained)
    elif named and (source or pretrained):
        plan = _with_weights(_architecture(named), source or str(pretrained))
    elif source or pretrained:
        plan = _parse(source or str(pretrained))
    else:
        raise ConfigError(f"{request.id}: name a model, as open_clip:ARCH/TAG or with model_args pretrained=…")
    if request.revision and not plan.repository:
        raise ConfigError(f"{request.id}: only hf-hub:ORG/NAME has revisions, not {plan.source}")
    return plan


def _parse(source: str) -> Plan:
    if source.startswith(HUB_PREFIX):
        return Plan(repository=source.removeprefix(HUB_PREFIX))
    path = Path(source.removeprefix(LOCAL_PREFIX))
    if path.is_dir():
        return Plan(directory=path)
    if path.is_file():
        return Plan(file=path)
    if source.startswith((LOCAL_PREFIX, "/", ".")):
        raise ModelError(f"no such file or directory: {path}")
    known = _architectures()
    parts = source.split("/")
    for end in range(len(parts), 0, -1):  # open_clip also knows ViT-B-32 as ViT-B/32
        name = "-".join(parts[:end])
        if name in known:
            weights = "/".join(parts[end:])
            if not weights:
                raise ConfigError(f"open_clip:{source} has no weights: {_tags_hint(name)}")
            return _with_weights(name, weights)
    hint = f"; for a hub repository write open_clip:{HUB_PREFIX}{source}" if len(parts) == 2 else ""
    near = close_matches(parts[0], known)
    raise UnknownName(f"unknown open_clip architecture {parts[0]!r}{near}{hint}")


def _with_weights(architecture: str, weights: str) -> Plan:
    import open_clip

    if open_clip.get_pretrained_cfg(architecture, weights):
        return Plan(architecture, tag=weights)
    path = Path(weights)
    if path.is_file():
        return Plan(architecture, file=path)
    if weights.endswith(WEIGHT_SUFFIXES):
        raise ModelError(f"no such file: {path}")
    if path.is_dir() or weights.startswith(HUB_PREFIX):
        raise ConfigError(f"{weights} says its own architecture: leave {architecture} out")
    near = close_matches(weights, open_clip.list_pretrained_tags_by_model(architecture))
    raise UnknownName(f"unknown weights {weights!r} for {architecture}{near}: {_tags_hint(architecture)}")


def near_architecture(source: str) -> str:
    """The spelling here of a model named as in open_clip, such as ``open_clip:ViT-B-32/openai``.

    Returns:
        An empty string if the source resembles no architecture; finding this out does not import torch.
    """
    known = {name.lower(): name for name in _architecture_files()}
    parts = source.split("/")
    whole = source.replace("/", "-")
    near = difflib.get_close_matches(whole.lower(), known, n=1, cutoff=0.8) if len(parts) == 1 else []
    name = next((known[name] for name in (whole.lower(), parts[0].lower(), *near) if name in known), None)
    if name is None:
        return ""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if name.lower() == parts[0].lower() and len(parts) == 2:
        tags = difflib.get_close_matches(parts[1], tags, n=1, cutoff=0) or tags
    return f"open_clip:{name}/{'openai' if 'openai' in tags else tags[0] if tags else 'FILE'}"


def _architecture_files() -> list[str]:
    """Names of open_clip's own architectures, without importing it."""
    found = importlib.util.find_spec("open_clip")
    folders = found.submodule_search_locations or [] if found else []
    return [file.stem for folder in folders for file in Path(folder, "model_configs").glob("*.json")]


def _architecture(name: str) -> str:
    name = name.replace("/", "-")
    if name not in _architectures():
        raise UnknownName(f"unknown open_clip architecture {name!r}{close_matches(name, _architectures())}")
    return name


def _architectures() -> list[str]:
    import open_clip

    names: list[str] = open_clip.list_models()
    return names


def _tags_hint(architecture: str) -> str:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    return f"pass one of {', '.join(tags)}, or a file" if tags else "pass a file of weights"
