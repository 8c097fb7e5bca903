"""One step's gradients: features of the whole batch, its loss, and back, on one process or many, at once or in parts.

The loss needs every pair's features; the towers need not see all pairs at once. So features are computed first,
gathered over processes, and the loss's gradient with respect to them is carried back part by part (gradient
caching: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983).
What comes out is the gradient of the whole batch's loss, logit scale included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from clipbench.models import Model, Tokens
from clipbench.models.base import PackedRow
from clipbench.models.packing import texts_of
from clipbench.training.freezing import logit_scale_parameter
from clipbench.training.losses import find_loss
from clipbench.training.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator

Features = list[Tensor]
"""Unit features of images ``(b, D)``, captions ``(b, D)`` and, if any, hard negatives ``(b, k, D)``."""

AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Part:
    """Some pairs of a process's share of a batch, as the towers take them.

    Attributes:
        pixels: ``(b, 3, H, W)``, or where the image tower is frozen its unit features ``(b, D)``.
        tokens: ``b`` captions, then ``b·k`` hard negatives, those of one caption side by side.
        rows: The same, packed, where the model packs: a caption and its negatives share all that is before the keyword.
        draw: Seeds dropout: another one for each step, process and part.
    """

    pixels: Tensor
    tokens: Tokens
    rows: Sequence[PackedRow] | None
    draw: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A process's share of a batch, and what of the whole batch the loss needs.

    Attributes:
        parts: The share, cut into parts; together ``B / processes`` pairs.
        negative_positions: ``(B, k)``; for the whole batch, the columns of each row that its negatives take.
        valid: ``(B / processes, k)``; False where a negative reads like its caption: both were cut before the keyword.
        ids: Names of the pairs of the share, for messages.
    """

    parts: Sequence[Part]
    negative_positions: Tensor
    valid: Tensor
    ids: Sequence[str]


class GradientCache:
    """Computes gradients of a batch's loss.

    Args:
        model: The model; its trained parameters get their gradients added up.
        recipe: Loss, direction, negatives, precision.
        accelerator: The processes.
        scaler: Scales the loss for fp16; a disabled one otherwise.
        image_features: Pixels come as unit features of a frozen image tower.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        accelerator: Accelerator,
        scaler: torch.amp.GradScaler,
        *,
        image_features: bool = False,
    ) -> None:
        self._model, self._recipe, self._accelerator, self._scaler = model, recipe, accelerator, scaler
        self._encoded = image_features
        self._loss = find_loss(recipe.loss)
        scale = logit_scale_parameter(model)
        self._towers = [weight for weight in model.module.parameters() if weight.requires_grad and weight is not scale]

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradient of the whole batch's loss to the trained parameters' gradients.

        Returns:
            The loss, a scalar without graph; equal on all processes.
        """
        whole = len(batch.parts) == 1
        with contextlib.nullcontext() if whole else torch.no_grad():
            encoded = [self._encode(part) for part in batch.parts]
        share = _joined(encoded)
        gathered = [self._gather(kind.detach()).requires_grad_() for kind in share]
        loss = self._loss_of(gathered, batch)
        # Every process has the whole loss, so the scale's gradient is complete, and each takes its rows of the rest.
        torch.autograd.backward(self._scaler.scale(loss))
        rows = slice(*(len(share[0]) * (self._accelerator.process_index + end) for end in (0, 1)))
        start = 0
        for part, features in zip(batch.parts, encoded, strict=True):
            if not whole:
                features = self._encode(part)
            mine = slice(rows.start + start, rows.start + start + len(features[0]))
            _carry_back(features, [kind.grad[mine] for kind in gathered if kind.grad is not None])
            start += len(features[0])
        self._add_up()
        return loss.detach()

    def _encode(self, part: Part) -> Features:
        recipe, device = self._recipe, self._accelerator.device
        precision = AUTOCAST.get(recipe.precision)
        torch.manual_seed(part.draw)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            images = part.pixels if self._encoded else self._model.image_features(part.pixels)
            texts = self._texts(part)
        images = images.to(device)
        captions = _unit(texts[: len(images)])
        negatives = _unit(texts[len(images) :]).reshape(len(images), recipe.negatives, -1) if recipe.negatives else None
        return [kind for kind in (_unit(images), captions, negatives) if kind is not None]

    def _texts(self, part: Part) -> Tensor:
        packed_text = self._model.packed_text
        if part.rows is None or packed_text is None:
            return self._model.text_features(part.tokens)
        features = packed_text.features(part.rows)
        return features[torch.tensor(texts_of(part.rows), device=features.device).argsort()]

    def _loss_of(self, features: Features, batch: Batch) -> Tensor:
        device = self._accelerator.device
        images, texts, *rest = features
        return self._loss(
            images,
            texts,
            rest[0] if rest else None,
            batch.negative_positions.to(device) if rest else None,
            self._gather(batch.valid.to(device)) if rest else None,
            self._model.logit_scale.float(),
            self._recipe.negatives_in,
        )

    def _gather(self, tensor: Tensor) -> Tensor:
        """All processes' rows, in the order of the processes."""
        if self._accelerator.num_processes == 1:
            return tensor
        gathered: Tensor = self._accelerator.gather(tensor)
        return gathered

    def _add_up(self) -> None:
        """Add the processes' gradients up, those of the towers: the scale's is whole on each."""
        if self._accelerator.num_processes == 1:
            return
        waiting = []
        for weight in self._towers:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            waiting.append(torch.distributed.all_reduce(weight.grad, async_op=True))
        for reduction in waiting:
            reduction.wait()


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=-1)


def _joined(parts: Sequence[Features]) -> Features:
    return [torch.cat(kind) for kind in zip(*parts, strict=True)]


def _carry_back(features: Features, grads: Features) -> None:
    """Backward through the towers, from the loss's gradient with respect to their features."""
    reached = [(feature, grad) for feature, grad in zip(features, grads, strict=True) if feature.requires_grad]
    torch.autograd.backward([feature for feature, _ in reached], [grad for _, grad in reached])
