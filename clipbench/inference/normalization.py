"""Features to unit rows, the form in which they are compared and kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from clipbench.errors import ModelError
from clipbench.metrics import Floats
from clipbench.models.base import Model


def comparable(features: torch.Tensor, names: Sequence[str], what: str, model: Model) -> Floats:
    """Features ready for comparison: unit rows, or for a text-only model the texts' scores as they are.

    Arguments and errors are those of ``l2_normalize``.
    """
    if not model.text_only:
        return l2_normalize(features, names, what, model.id)
    scores: Floats = features.float().cpu().numpy()
    usable = np.isfinite(scores).all(axis=1)
    if not usable.all():
        raise ModelError(f"{model.id}: the score of {what.format(names[int(usable.argmin())])} is not finite")
    return scores


def l2_normalize(features: torch.Tensor, names: Sequence[str], what: str, model: str) -> Floats:
    """L2-normalise in fp32, whatever precision the encoder ran in.

    Args:
        features: ``(B, D)``, on any device.
        names: What each row is the feature of, for the message.
        what: How the message writes a name: ``image {}``.
        model: The model's name, for the message.

    Returns:
        ``(B, D)`` float32.

    Raises:
        ModelError: A row is not finite or is zero; names it.
    """
    rows = features.float()
    norms = rows.norm(dim=-1, keepdim=True)
    usable = (torch.isfinite(norms) & (norms > 0)).squeeze(-1)
    if not bool(usable.all()):
        bad = what.format(names[int((~usable).nonzero()[0])])
        raise ModelError(f"{model}: the feature of {bad} is not finite or is zero")
    units: Floats = (rows / norms).cpu().numpy()
    return units
