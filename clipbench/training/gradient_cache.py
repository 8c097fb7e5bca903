"""One step's gradients: features of the whole batch, its loss, and back, on one process or many, at once or in parts.

The loss needs every pair's features; the towers need not see all pairs at once. So features are computed first,
gathered over processes, and the loss's gradient with respect to them is carried back part by part (gradient
caching: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983).
What comes out is the gradient of the whole batch's loss, logit scale included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from clipbench.models import Model, Tokens
from clipbench.models.base import PackedRow
from clipbench.models.packing import texts_of
from clipbench.training.freezing import logit_bias_parameter, logit_scale_parameter
from clipbench.training.in_batch_accuracy import in_batch_accuracies
from clipbench.training.losses import HardNegatives, LossInputs, configured_loss
from clipbench.training.recipe import Recipe
from clipbench.training.sharding import ShardedModel

if TYPE_CHECKING:
    from accelerate import Accelerator

Features = dict[str, Tensor]
"""Unit features of ``images`` ``(b, D)``, ``texts`` ``(b, D)`` and, if any, hard ``negatives`` ``(b, k, D)`` and
``negative_images`` ``(b, m, D)``."""

_CHUNK = 32  # texts

AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Part:
    """Some pairs of a process's share of a batch, as the towers take them.

    Attributes:
        pairs: How many they are, ``b``.
        pixels: ``(b + b·m, 3, H, W)``: ``b`` images, then ``b·m`` negative images, those of one pair side by side;
            where the image tower is frozen its features before the projection, ``(b + b·m, W)``.
        tokens: ``b`` captions, then ``b·k`` hard negatives, those of one caption side by side.
        rows: The same, packed, where the model packs: a caption and its negatives share all that is before the keyword.
        draw: Seeds dropout: another one for each step, process and part.
    """

    pairs: int
    pixels: Tensor
    tokens: Tokens
    rows: Sequence[PackedRow] | None
    draw: int


@dataclass(frozen=True, slots=True)
class NegativeImages:
    """What the loss must know of the negative images of a whole batch.

    Attributes:
        positions: ``(B, m)``; the rows of each column that its negative images take.
        valid: ``(B, m)``; False where a pair has no such negative image.
        same_image: ``(B, m, B)``; True where a negative image is that of another pair; None: all are negatives.
    """

    positions: Tensor
    valid: Tensor
    same_image: Tensor | None


@dataclass(frozen=True, slots=True)
class Batch:
    """A process's share of a batch, and what of the whole batch the loss needs.

    Attributes:
        parts: The share, cut into parts; together ``B / processes`` pairs.
        negative_positions: ``(B, k)``; for the whole batch, the columns of each row that its negatives take.
        valid: ``(B / processes, k)``; False where a negative reads like its caption: both were cut before the keyword.
        ids: Names of the pairs of the share, for messages.
        negative_images: Of the whole batch; None: there are none.
        same_image: ``(B, B)``; of the whole batch, True where pairs share their image; None: all are negatives.
        weights: ``(B,)`` float32, of the whole batch, how much each pair counts; None: all the same.
    """

    parts: Sequence[Part]
    negative_positions: Tensor
    valid: Tensor
    ids: Sequence[str]
    negative_images: NegativeImages | None = None
    same_image: Tensor | None = None
    weights: Tensor | None = None


class GradientCache:
    """Computes gradients of a batch's loss.

    Args:
        model: The model; its trained parameters get their gradients added up.
        recipe: Loss, direction, negatives, precision.
        accelerator: The processes.
        scaler: Scales the loss for fp16; a disabled one otherwise.
        image_features: Pixels come as features of a frozen image tower, before the projection.
        sharded: The model, if its weights are divided among the processes.

    Attributes:
        accuracies: Of the last batch, see ``in_batch_accuracies``.
    """

    accuracies: Tensor

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        accelerator: Accelerator,
        scaler: torch.amp.GradScaler,
        *,
        image_features: bool = False,
        sharded: ShardedModel | None = None,
    ) -> None:
        self._sharded = sharded
        self._model, self._recipe, self._accelerator, self._scaler = model, recipe, accelerator, scaler
        self._encoded = image_features
        self._loss = configured_loss(recipe)
        whole = {logit_scale_parameter(model), logit_bias_parameter(model)}
        self._towers = [weight for weight in model.module.parameters() if weight.requires_grad and weight not in whole]

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradient of the whole batch's loss to the trained parameters' gradients.

        Returns:
            The loss, a scalar without graph; equal on all processes.
        """
        whole = len(batch.parts) == 1
        with contextlib.nullcontext() if whole else torch.no_grad():
            encoded = [self._features(part) for part in batch.parts]
        share = _joined(encoded)
        gathered = {kind: self._gather(rows.detach()).requires_grad_() for kind, rows in share.items()}
        inputs = self._inputs(gathered, batch)
        self.accuracies, loss = in_batch_accuracies(inputs), self._loss(inputs)
        # Every process has the whole loss, so the gradients of scale and bias are complete, and each takes its rows of
        # the rest.
        torch.autograd.backward(self._scaler.scale(loss))
        start = len(share["images"]) * self._accelerator.process_index
        for part, features in zip(batch.parts, encoded, strict=True):
            if not whole:
                features = self._features(part)
            mine = slice(start, start + part.pairs)
            _carry_back(features, {kind: rows.grad[mine] for kind, rows in gathered.items() if rows.grad is not None})
            start += part.pairs
        self._add_up()
        return loss.detach()

    @torch.no_grad()
    def inputs(self, batch: Batch) -> LossInputs:
        """What the loss would see of a batch, without a graph."""
        share = _joined([self._features(part) for part in batch.parts])
        return self._inputs({kind: self._gather(rows) for kind, rows in share.items()}, batch)

    def _features(self, part: Part) -> Features:
        return self._sharded.run(self._encode, part) if self._sharded else self._encode(part)

    def _encode(self, part: Part) -> Features:
        recipe, device = self._recipe, self._accelerator.device
        precision = AUTOCAST.get(recipe.precision)
        torch.manual_seed(part.draw)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            images = (
                self._model.project_images(part.pixels) if self._encoded else self._model.image_features(part.pixels)
            )
            texts = self._texts(part)
        images, texts = _unit(images.to(device)), _unit(texts)
        count = part.pairs
        features = {"images": images[:count], "texts": texts[:count]}
        for kind, further in (("negatives", texts[count:]), ("negative_images", images[count:])):
            if len(further):
                features[kind] = further.reshape(count, -1, further.shape[-1])
        return features

    def _texts(self, part: Part) -> Tensor:
        packed_text = self._model.packed_text
        if part.rows is not None and packed_text is not None:
            features, order = packed_text.features(part.rows), texts_of(part.rows)
        else:
            chunks = self._of_like_length(part.tokens)
            features = torch.cat([self._model.text_features(part.tokens.part(chunk)) for chunk in chunks])
            order = [text for chunk in chunks for text in chunk]
        return features[torch.tensor(order, device=features.device).argsort()]

    def _of_like_length(self, tokens: Tokens) -> list[list[int]]:
        """Texts in chunks of like length, so that little of what a CPU computes is padding; a GPU takes all at once."""
        texts = range(len(tokens.truncated))
        if tokens.lengths is None or self._model.compiled or self._accelerator.device.type != "cpu":
            return [list(texts)]
        order = sorted(texts, key=tokens.lengths.__getitem__)
        return [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]

    def _inputs(self, features: Features, batch: Batch) -> LossInputs:
        device, bias = self._accelerator.device, logit_bias_parameter(self._model)
        negatives = negative_images = None
        if "negatives" in features:
            positions, valid = batch.negative_positions.to(device), self._gather(batch.valid.to(device))
            negatives = HardNegatives(features["negatives"], positions, valid)
        if "negative_images" in features and (images := batch.negative_images) is not None:
            same = None if images.same_image is None else images.same_image.to(device)
            found = features["negative_images"]
            negative_images = HardNegatives(found, images.positions.to(device), images.valid.to(device), same)
        return LossInputs(
            features["images"],
            features["texts"],
            self._model.logit_scale.float(),
            negatives,
            negative_images,
            same_image=None if batch.same_image is None else batch.same_image.to(device),
            bias=None if bias is None else bias.float(),
            weights=None if batch.weights is None else batch.weights.to(device),
        )

    def _gather(self, tensor: Tensor) -> Tensor:
        """All processes' rows, in the order of the processes."""
        if self._accelerator.num_processes == 1:
            return tensor
        gathered: Tensor = self._accelerator.gather(tensor)
        return gathered

    def _add_up(self) -> None:
        """Add the processes' gradients up, those of the towers: the scale's and the bias's are whole on each."""
        if self._accelerator.num_processes == 1:
            return
        if self._sharded:
            self._sharded.sum_gradients(self._towers)
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
    return {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}


def _carry_back(features: Features, grads: Mapping[str, Tensor]) -> None:
    """Backward through the towers, from the loss's gradient with respect to their features."""
    reached = [kind for kind in grads if features[kind].requires_grad]
    torch.autograd.backward([features[kind] for kind in reached], [grads[kind] for kind in reached])
