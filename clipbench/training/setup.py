"""Everything a run needs before its first step: pairs, the model with what is trained of it, decoded images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clipbench.concepts import Concept
from clipbench.errors import ConfigError, DataError, ModelError
from clipbench.evaluation.options import Progress
from clipbench.models import Model, load_model
from clipbench.training.batches import Images
from clipbench.training.datasets import open_training_data, training_concepts
from clipbench.training.freezing import freeze
from clipbench.training.gradient_cache import AUTOCAST
from clipbench.training.image_cache.build import build_image_cache
from clipbench.training.image_cache.cache import ImageCache
from clipbench.training.lora import add_lora
from clipbench.training.losses import find_loss
from clipbench.training.options import FinetuneOptions
from clipbench.training.pairs import TrainingPairs, check_negatives, gather_pairs
from clipbench.training.recipe import Recipe
from clipbench.training.run_folder import RunFolder
from clipbench.training.sampling import Ints
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from accelerate import Accelerator

Note = Callable[[str], None]

_FEATURE_BATCH = 256
_BROKEN_SHOWN = 3


@dataclass(frozen=True)
class Prepared:
    """What a run stands on.

    Attributes:
        model: The model, frozen and adapted as the recipe says.
        base_fingerprint: Its fingerprint before.
        pairs: What is trained on.
        images: Read by the numbers in ``pairs.image_of``.
        image_features: ``images`` gives features of the frozen image tower, not pixels.
        concepts: The concepts.
    """

    model: Model
    base_fingerprint: str
    pairs: TrainingPairs
    images: Images
    image_features: bool
    concepts: tuple[Concept, ...]

    def identity(self, recipe: Recipe) -> dict[str, dict[str, object]]:
        """What makes this run the one it is: two that differ in it must not share a folder."""
        return {
            "recipe": recipe.as_dict(),
            "model": {"fingerprint": self.base_fingerprint},
            "data": {"pairs": len(self.pairs), "fingerprint": self.pairs.fingerprint},
        }


def prepare(
    model: object,
    train_data: str,
    recipe: Recipe,
    options: FinetuneOptions,
    folder: RunFolder,
    accelerator: Accelerator,
    on_note: Note,
    on_progress: Progress,
) -> Prepared:
    """Load and check everything, what is cheap and likely wrong first.

    Raises:
        UnknownName, ConfigError: An option makes no sense, or the folder holds another run.
        DataError: Data or an image cannot be read.
        ModelError: The model cannot be loaded.
    """
    find_loss(recipe.loss)
    concepts = training_concepts(train_data, recipe.concepts)
    check_negatives(concepts, recipe.negatives)
    if recipe.batch_size % accelerator.num_processes:
        raise ConfigError(f"batch_size {recipe.batch_size} cannot be shared by {accelerator.num_processes} processes")
    folder.check({"recipe": recipe.as_dict()})
    source = open_training_data(train_data, options.data)
    pairs = gather_pairs(
        source,
        concepts,
        allow_missing=options.allow_missing,
        limit=options.limit,
        on_progress=lambda done, total: on_progress("captions", done, total),
    )
    loaded = load_model(model, model_args=options.model_args, device=_device(options, accelerator), dtype="float32")
    if loaded.untrainable:
        raise ModelError(f"{loaded.id} cannot be fine-tuned: {loaded.untrainable}")
    if recipe.precision == "fp16" and loaded.device.type != "cuda":
        raise ConfigError(f"precision fp16 needs a GPU; on {loaded.device.type} use fp32 or bf16")
    fingerprint = loaded.fingerprint
    unused = freeze(loaded, recipe.freeze)
    if unused:
        on_note(
            f"{pluralize(len(unused), 'parameter')} that no feature depends on: not trained ({', '.join(unused[:3])})"
        )
    if recipe.lora_rank:
        alpha = recipe.lora_alpha if recipe.lora_alpha is not None else 2.0 * recipe.lora_rank
        add_lora(loaded, recipe.lora_rank, alpha, seed=recipe.seed)
    cache = build_image_cache(
        loaded,
        pairs.images,
        pairs.provenance.fingerprint,
        options.image_cache_folder,
        workers=options.workers,
        on_progress=lambda done, total: on_progress("images", done, total),
        on_note=on_note,
    )
    pairs = _usable(pairs, cache, options.allow_missing)
    if pairs.left_out:
        on_note(f"{pluralize(pairs.left_out, 'caption')} left out: their images are missing or broken")
    frozen = "image" in recipe.freeze
    images: Images = _features(loaded, cache, recipe, on_progress) if frozen else _Pixels(cache, loaded.device)
    return Prepared(loaded, fingerprint, pairs, images, frozen, concepts)


def resolve_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Replace the precision ``auto``: half precision on a CUDA GPU, fp32 elsewhere, where it is faster."""
    if recipe.precision != "auto":
        return recipe
    if device.type != "cuda":
        return replace(recipe, precision="fp32")
    # The paper trained in fp16; bf16 needs no loss scaling.
    return replace(recipe, precision="bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16")


def _device(options: FinetuneOptions, accelerator: Accelerator) -> str:
    alone = accelerator.num_processes == 1
    return options.device if options.device and alone else str(accelerator.device)


def _usable(pairs: TrainingPairs, cache: ImageCache, allow_missing: bool) -> TrainingPairs:
    if not cache.broken:
        return pairs
    if not allow_missing:
        reasons = list(cache.broken.values())
        more = ", …" if len(reasons) > _BROKEN_SHOWN else ""
        raise DataError(
            f"{pairs.provenance.location}: {pluralize(len(reasons), 'image')} cannot be read"
            f" ({', '.join(reasons[:_BROKEN_SHOWN])}{more}); set allow_missing to train on the others"
        )
    return pairs.without_images(cache.broken)


class _Pixels:
    def __init__(self, cache: ImageCache, device: torch.device) -> None:
        self._cache, self._device = cache, device

    def batch(self, indices: Ints) -> Tensor:
        return self._cache.batch(indices, self._device)


class _Features:
    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def batch(self, indices: Ints) -> Tensor:
        return self._rows[torch.from_numpy(indices).to(self._rows.device)]


@torch.no_grad()
def _features(model: Model, cache: ImageCache, recipe: Recipe, on_progress: Progress) -> Images:
    """Encode all images once: a frozen tower gives the same features in every epoch."""
    model.module.eval()
    precision = AUTOCAST.get(recipe.precision)
    usable = np.array([index for index in range(len(cache)) if index not in cache.broken], dtype=np.int64)
    rows: Tensor | None = None
    for start in range(0, len(usable), _FEATURE_BATCH):
        part = usable[start : start + _FEATURE_BATCH]
        with torch.autocast(model.device.type, precision, enabled=precision is not None):
            features = model.image_features(cache.batch(part, model.device)).float()
        if rows is None:
            rows = features.new_zeros(len(cache), features.shape[1])
        rows[torch.from_numpy(part).to(rows.device)] = features
        on_progress("image features", start + len(part), len(usable))
    if rows is None:
        raise DataError("no image can be read")
    return _Features(rows)
