"""Where in a network image features and text features are made: towers, and their layers from first to last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn

from clipbench.errors import ConfigError
from clipbench.models import probes
from clipbench.models.base import Model

Side = Literal["image", "text"]
SIDES: Final[tuple[Side, Side]] = ("image", "text")


@dataclass(frozen=True, slots=True)
class Tower:
    """One side of a model, projection included.

    Attributes:
        parameters: Names of the parameters that its features depend on.
        modules: Names of the modules that it runs, those without parameters (dropout) included, in the order in which
            they are started.
    """

    parameters: frozenset[str]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a tower, projection excluded.

    Attributes:
        parameters: Names of its parameters.
        modules: Names of the modules that it runs.
    """

    parameters: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()


def find_towers(model: Model) -> dict[str, Tower]:
    """Find which parameters and modules make image features and which make text features.

    They are found by tracing one image and a few texts, so that every architecture is covered and names do not
    matter. A parameter that both sides use is in both. Nothing of the model is changed: neither gradients nor modes.

    Returns:
        The towers, under ``image`` and ``text``.
    """
    pixels = model.preprocess(probes.gray_image())[None]
    tokens = model.tokenize(probes.TEXTS)
    with _everything_traced(model.module):
        return {
            "image": _trace(model.module, lambda: model.image_features(pixels)),
            "text": _trace(model.module, lambda: model.text_features(tokens)),
        }


def find_layers(model: Model, side: Side, tower: Tower) -> list[Layer]:
    """Cut a tower into its layers, in the order in which they run.

    Layers are the blocks of which the network has lists, those of several stages one after the other. Like the towers,
    they are found by running the network, not by names.

    Returns:
        What comes before the first block (embeddings), each block with what runs between it and the one before it, and
        what comes after the last (a normalization, a pooler).

    Raises:
        ConfigError: The network has no lists of blocks.
    """
    modules, started = dict(model.module.named_modules()), {path: place for place, path in enumerate(tower.modules)}
    blocks = sorted(_blocks(modules, tower), key=lambda path: started[path])
    if not blocks:
        raise ConfigError(f"{model.id}: no layers are found in its {side} encoder")
    starts = [started[path] for path in blocks]

    def layer_of(path: str) -> int:
        while path not in started and path:  # a module whose weights are read from outside
            path = path.rpartition(".")[0]
        for number, block in enumerate(blocks, 1):
            if path == block or path.startswith(f"{block}."):
                return number
        before = sum(start < started.get(path, -1) for start in starts)
        return before + 1 if before else 0

    projection = model.projection_parameters(side)
    names = {name: layer_of(name.rpartition(".")[0]) for name in tower.parameters - projection}
    running = {path: layer_of(path) for path in tower.modules}
    return [
        Layer(
            frozenset(name for name, place in names.items() if place == number),
            frozenset(path for path, place in running.items() if place == number),
        )
        for number in range(len(blocks) + 2)
    ]


def last_layers(model: Model, side: Side, tower: Tower, count: int) -> Layer:
    """The last layers of a tower and what comes after them, as one; nothing for 0.

    Raises:
        ConfigError: There are fewer.
    """
    if not count:
        return Layer()
    layers = find_layers(model, side, tower)
    if count > len(layers) - 2:
        raise ConfigError(
            f"unfreeze_{side}_layers {count}: the {side} encoder of {model.id} has {len(layers) - 2} layers"
        )
    kept = layers[-count - 1 :]
    return Layer(
        frozenset[str]().union(*(layer.parameters for layer in kept)),
        frozenset[str]().union(*(layer.modules for layer in kept)),
    )


def _blocks(modules: dict[str, nn.Module], tower: Tower) -> list[str]:
    found = []
    for path in _lists(modules, tower, ""):
        for child in _children(modules, tower, path):
            inner = [place for place in _lists(modules, tower, child) if _is_stage(modules, tower, child, place)]
            found += [block for place in inner for block in _children(modules, tower, place)] or [child]
    return [path for path in found if path in tower.modules]


def _lists(modules: dict[str, nn.Module], tower: Tower, root: str) -> list[str]:
    """Outermost lists of modules that are made of modules themselves, below ``root`` or ``root`` itself."""
    found: list[str] = []
    for path, part in modules.items():
        inside = not root or path == root or path.startswith(f"{root}.")
        if not inside or not isinstance(part, nn.ModuleList | nn.Sequential):
            continue
        if any(path.startswith(f"{outer}.") for outer in found):
            continue
        children = _children(modules, tower, path)
        if children and all(any(True for _ in modules[child].children()) for child in children):
            found.append(path)
    return found


def _is_stage(modules: dict[str, nn.Module], tower: Tower, outer: str, path: str) -> bool:
    """Whether a list holds most of its parent, and modules of one kind: the blocks of a stage."""
    children = _children(modules, tower, path)
    alike = len({type(modules[child]) for child in children}) == 1
    return alike and 2 * _weight(modules[path]) > _weight(modules[outer])


def _children(modules: dict[str, nn.Module], tower: Tower, path: str) -> list[str]:
    """Modules of a list that have parameters of the tower."""
    names = [f"{path}.{name}" for name, _ in modules[path].named_children()]
    return [name for name in names if any(weight.startswith(f"{name}.") for weight in tower.parameters)]


def _weight(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@contextlib.contextmanager
def _everything_traced(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout, no new batch statistics) and gradients everywhere, put back at the end."""
    modes = [(part, part.training) for part in module.modules()]
    wants = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    module.eval()
    try:
        for parameter, _ in wants:
            parameter.requires_grad_(parameter.is_floating_point())
        with torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for parameter, wanted in wants:
            parameter.requires_grad_(wanted)


def _trace(module: torch.nn.Module, encode: Callable[[], torch.Tensor]) -> Tower:
    ran: dict[str, None] = {}
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: ran.setdefault(name))
        for name, part in module.named_modules()
    ]
    try:
        features = encode()
    finally:
        for hook in hooks:
            hook.remove()
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    gradients = torch.autograd.grad(features.float().sum(), parameters, allow_unused=True)
    reached = (name for name, gradient in zip(names, gradients, strict=True) if gradient is not None)
    return Tower(parameters=frozenset(reached), modules=tuple(ran))
