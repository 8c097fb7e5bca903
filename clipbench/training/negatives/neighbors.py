"""Mined negatives: captions of other images that are nearest in the space of a text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipbench.models.checks import quiet, resolve_device
from clipbench.models.paired.network import pool_texts
from clipbench.models.paired.projections import make_layers
from clipbench.models.paired.towers import load_tower
from clipbench.models.spec import ModelSpec
from clipbench.training.sampling import Ints

_QUERIES = 512  # captions that are compared with all others at once
_SPARE = 32  # nearest captions that are looked at beside k: some have the same text


@torch.no_grad()
def embed_captions(
    source: str,
    captions: Sequence[str],
    *,
    device: str | None = None,
    batch_size: int = 64,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Unit features ``(n, D)`` of captions by a text encoder, pooled as its checkpoint says.

    Args:
        source: Hub id or directory of an encoder of transformers or sentence-transformers.
        captions: The captions.
        device: A torch device, or None to choose.
        batch_size: Captions at once.
        on_progress: Called with the captions done and the captions in all.

    Raises:
        ModelError: It cannot be found, read or used.
    """
    place = resolve_device(device)
    with quiet():
        tower = load_tower("text", source, None, ModelSpec(source, source))
    encoder, modules = tower.encoder.eval().to(place), tower.modules
    layers = make_layers(modules.layers)
    layers.load_state_dict(dict(modules.weights))
    layers.eval().to(place)
    longest = min(modules.max_length or 512, tower.reader.model_max_length)
    order = sorted(range(len(captions)), key=lambda number: len(captions[number]))
    features: dict[int, Tensor] = {}
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        texts = [modules.prompt + captions[number] for number in numbers]
        texts = [text.lower() for text in texts] if modules.lowercase else texts
        tokens = tower.reader(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(place)
        inputs = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        pooled = layers(pool_texts(encoder, tower.pooling, tower.reader.eos_token_id, inputs))
        features.update(zip(numbers, normalize(pooled.float(), dim=-1).cpu(), strict=True))
        on_progress(len(features), len(captions))
    return torch.stack([features[number] for number in range(len(captions))])


def nearest_captions(
    features: Tensor, captions: Sequence[str], image_of: Ints, k: int, threshold: float
) -> list[list[int]]:
    """For each caption the k nearest captions of other images.

    Captions whose cosine similarity is above the threshold are left out: they say the same. Of captions with the same
    text, the first counts.

    Args:
        features: ``(n, D)`` unit features.
        captions: The captions.
        image_of: ``(n,)``; captions with the same number belong to one image.
        k: Captions wanted.
        threshold: Cosine similarity from which on a caption is a near-duplicate.

    Returns:
        For each caption the numbers of up to k others, nearest first.
    """
    images, found = torch.from_numpy(np.asarray(image_of)), []
    for first in range(0, len(captions), _QUERIES):
        queries = slice(first, first + _QUERIES)
        scores = features[queries] @ features.T
        scores[(images[queries, None] == images) | (scores > threshold)] = -torch.inf
        best = scores.topk(min(len(captions), k + _SPARE), dim=1).indices
        for row, near in enumerate(best.tolist()):
            numbers = _distinct(scores[row], near, captions, captions[first + row], k)
            if len(numbers) < k and len(near) < len(captions) and scores[row, near[-1]] > -torch.inf:
                numbers = _distinct(scores[row], range(len(captions)), captions, captions[first + row], k)
            found.append(numbers)
    return found


def _distinct(scores: Tensor, numbers: Sequence[int], captions: Sequence[str], own: str, k: int) -> list[int]:
    """The k best of some captions, equal ones in their order, each text once."""
    values = scores[list(numbers)].tolist()
    texts: dict[str, int] = {}
    for value, number in sorted(zip(values, numbers, strict=True), key=lambda pair: (-pair[0], pair[1])):
        if value == -np.inf or len(texts) == k:
            break
        if captions[number] != own:
            texts.setdefault(captions[number], number)
    return list(texts.values())
