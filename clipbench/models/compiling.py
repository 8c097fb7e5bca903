"""Towers compiled by torch.compile: the same features up to rounding, in less time on a fast device."""

from __future__ import annotations

import torch
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import checks, probes
from clipbench.models.base import Model


@torch.inference_mode()  # as scoring has it: torch would compile again for another mode
def compile_towers(model: Model, backend: str = "inductor") -> None:
    """Compile both towers in place, for any number of images and any length of texts, and try them.

    Args:
        model: A loaded model; its weights and their names stay as they are.
        backend: One of torch.compile's.

    Raises:
        ModelError: The model shows no towers, they cannot be compiled here (no C++ compiler, no triton), or their
            features differ by more than rounding.
    """
    towers = model.towers
    if not towers:
        raise ModelError(f"{model.id}: it does not show its towers to be compiled: leave torch_compile out")
    # Two sizes each, and never a single row: with the second one torch learns that sizes vary.
    trials = [(encode, count) for encode in (_images, _texts) for count in (3, 5)]
    expected = [encode(model, count) for encode, count in trials]
    try:
        with checks.quiet():
            for tower in towers:
                tower.compile(dynamic=True, backend=backend)
            found = [encode(model, count) for encode, count in trials]
    except Exception as error:  # torch answers with many kinds, and a backend may raise anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{model.id}: torch.compile failed ({reason[0]}): leave torch_compile out") from None
    difference = max(map(checks.largest_difference, expected, found))
    if difference > checks.trimming_tolerance(model.dtype):
        raise ModelError(
            f"{model.id}: compiled features differ by {difference:.1e} from its own: leave torch_compile out"
        )
    model.compiled = True


def _images(model: Model, count: int) -> torch.Tensor:
    shades = [Image.new("RGB", (64, 48), (30 * index, 120, 200 - 20 * index)) for index in range(count)]
    return model.image_features(torch.stack([model.preprocess(shade) for shade in shades]))


def _texts(model: Model, count: int) -> torch.Tensor:
    tokens = model.tokenize([f"{text} {number}" for number in range(count) for text in probes.PREFIX_TEXTS])
    packed = model.packed_text
    return packed.features(packed.pack(tokens)) if packed else model.text_features(tokens)
