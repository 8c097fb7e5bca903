"""Gradient checkpointing: blocks keep their inputs only and are computed again in the backward pass.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174. Gradients stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from clipbench.errors import ModelError
from clipbench.models.base import Model


def checkpoint_gradients(model: Model) -> None:
    """Turn gradient checkpointing on, wherever the network offers it; it takes effect in training mode.

    Raises:
        ModelError: No part of the network offers it.
    """
    found = list(_switches(model.module))
    for part in found:
        # The reentrant kind gives no gradient to blocks whose input needs none, such as a first block.
        if hasattr(part, "activation_checkpointing_enable"):
            part.activation_checkpointing_enable({"use_reentrant": False})
        elif hasattr(part, "gradient_checkpointing_enable"):  # its former name
            part.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            part.set_grad_checkpointing(True)
    if not found:
        raise ModelError(f"{model.id}: the network has no gradient checkpointing: leave grad_checkpointing out")


def _switches(module: torch.nn.Module) -> Iterator[Any]:
    """The outermost parts that can be switched: of transformers, else of open_clip and timm."""
    # A model of transformers has the method whether or not its blocks know what to do.
    if getattr(module, "supports_gradient_checkpointing", False) or callable(
        getattr(module, "set_grad_checkpointing", None)
    ):
        yield module
        return
    for child in module.children():
        yield from _switches(child)
