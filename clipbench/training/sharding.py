"""Weights, gradients and optimizer moments divided among the processes: fully sharded data parallelism (FSDP2).

Zhao et al. 2023, PyTorch FSDP, arXiv 2304.11277. Accelerate connects the processes; the sharding is torch's own, as
accelerate's leaves CPUs out. Gradients are those of one process, up to the order of summation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from clipbench.errors import ConfigError
from clipbench.models import Model
from clipbench.training.freezing import logit_bias_parameter, logit_scale_parameter

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
A = TypeVar("A")


class _Forward(nn.Module):
    """Runs a function as the forward pass of a module around a network.

    FSDP gathers weights in forward passes of modules, and models here are also used in parts (packed texts).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[[A], T], argument: A) -> T:
        return function(argument)


class ShardedModel:
    """A model whose weights are sharded over the processes; scale and bias of the logits stay whole on each.

    Args:
        model: The model; it stays whole on the main process, where it is scored and saved.
        accelerator: The processes.

    Attributes:
        model: The sharded model. Its features may be computed inside ``run`` only.

    Raises:
        ConfigError: There is only one process.
    """

    def __init__(self, model: Model, accelerator: Accelerator) -> None:
        if accelerator.num_processes == 1:
            raise ConfigError("fsdp: weights are divided among processes; start several (torchrun, accelerate launch)")
        self._whole = model
        self.model = copy.deepcopy(model) if accelerator.is_main_process else model
        self._count, device = accelerator.num_processes, accelerator.device.type
        mesh = init_device_mesh(device, (self._count,))
        self._root = _Forward(self.model.module)
        for block in _blocks(self.model.module):
            fully_shard(block, mesh=mesh)
        of_logits = {logit_scale_parameter(self.model), logit_bias_parameter(self.model)}
        fully_shard(self._root, mesh=mesh, ignored_params={weight for weight in of_logits if weight is not None})

    def run(self, function: Callable[[A], T], argument: A) -> T:
        """Return ``function(argument)``, which may compute features; all processes must take part."""
        result: T = self._root(function, argument)
        return result

    def sum_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Turn the gradients, which FSDP averages over the processes, into sums."""
        for weight in weights:
            if weight.grad is not None:
                weight.grad.mul_(self._count)

    @torch.no_grad()
    def update_whole(self, weights: Mapping[str, Tensor], *, is_main: bool) -> None:
        """Give the whole model, which the main process has, the weights; all processes must take part."""
        targets = dict(self._whole.module.named_parameters()) if is_main else {}
        for name, weight in weights.items():
            whole = gathered(weight)
            if is_main:
                targets[name].copy_(whole)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, on all processes, which must all take part; other tensors as they are."""
    if not isinstance(tensor, DTensor):
        return tensor
    whole: Tensor = tensor.full_tensor()
    return whole


def like(tensor: Tensor, value: Tensor) -> Tensor:
    """A value sharded as a tensor is, on its device; all processes must take part."""
    value = value.to(tensor.device)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements) if isinstance(tensor, DTensor) else value


def by_kind(tensors: Iterable[T]) -> list[list[T]]:
    """Tensors apart from sharded ones: torch's fused operations do not take both at once."""
    every = list(tensors)
    kinds = ([t for t in every if isinstance(t, DTensor) == sharded] for sharded in (False, True))
    return [kind for kind in kinds if kind]


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The elements of all lists of modules that are made of modules themselves, the innermost first."""
    for child in module.children():
        yield from _blocks(child)
    if isinstance(module, nn.ModuleList | nn.Sequential):
        for child in module.children():
            if any(True for _ in child.children()) and any(True for _ in child.parameters()):
                yield child
