"""The data of a run: pairs, what their keywords alone say, images, and tasks that share some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from clipbench.concepts import Concept
from clipbench.errors import DataError
from clipbench.evaluation.options import Progress
from clipbench.evaluation.preparation import PreparedTask
from clipbench.models import Model
from clipbench.training.batches import Images
from clipbench.training.datasets import open_training_data
from clipbench.training.gathering import gather_given, gather_pairs
from clipbench.training.image_cache.build import build_image_cache
from clipbench.training.image_cache.streamed import stream_images
from clipbench.training.image_inputs import Pixels, PreparedImages, frozen_features
from clipbench.training.negatives import ExchangedKeywords, dependence_facts
from clipbench.training.negatives.columns import GivenColumns
from clipbench.training.options import FinetuneOptions
from clipbench.training.overlap import find_overlaps
from clipbench.training.pairs import TrainingPairs
from clipbench.training.recipe import Recipe
from clipbench.utils.text import pluralize

Note = Callable[[str], None]

_BROKEN_SHOWN = 3


def read_pairs(
    train_data: str, concepts: tuple[Concept, ...], recipe: Recipe, options: FinetuneOptions, on_progress: Progress
) -> TrainingPairs:
    """Read the pairs, as the recipe says where their hard negatives come from.

    Raises:
        DataError: The data cannot be read, or holds no such captions.
        ConfigError: There is no such data set.
    """
    progress = partial(on_progress, "captions")
    how: dict[str, Any] = {
        "k": recipe.negatives,
        "matched": recipe.replacement_sampling == "matched",
        "limit": options.limit,
        "allow_missing": options.allow_missing,
    }
    if recipe.negatives_from or recipe.negative_images_from:
        columns = GivenColumns(train_data, recipe.negatives_from, recipe.negative_images_from, options.data)
        pairs = gather_given(columns, concepts, on_progress=progress, **how)
    else:
        pairs = gather_pairs(open_training_data(train_data, options.data), concepts, on_progress=progress, **how)
    if recipe.mend_articles and isinstance(pairs.negatives, ExchangedKeywords):
        return replace(pairs, negatives=replace(pairs.negatives, mend_articles=True))
    return pairs


def keyword_dependence(pairs: TrainingPairs, on_note: Note) -> dict[str, dict[str, float]]:
    """How much exchanged keywords alone say of which caption is right, for the run's record."""
    if not isinstance(pairs.negatives, ExchangedKeywords) or not pairs.negatives.k:
        return {}
    facts, unmatched = dependence_facts(pairs.negatives)
    if unmatched == len(pairs):
        raise DataError(
            f"{pairs.provenance.location}: replacement_sampling matched: no keyword in the captions is a replacement of"
            " another one there, so that none can be as often wrong as right; use uniform, or more data"
        )
    if unmatched:
        captions = pluralize(unmatched, "caption")
        on_note(f"{captions} without hard negatives: their keywords cannot be as often wrong as right")
    ways = ", ".join(f"{bits:.3f} with {way} replacements" for way, bits in facts.items())
    on_note(f"mutual information of keyword and label, in bits: {ways}")
    return {"keyword_label_bits": facts}


def decode_images(
    model: Model, pairs: TrainingPairs, options: FinetuneOptions, on_note: Note, on_progress: Progress
) -> tuple[PreparedImages, TrainingPairs]:
    """The images, and the pairs with a readable image."""
    where = (model, pairs.images, pairs.provenance.fingerprint, options.image_cache_folder)

    def report(done: int, total: int) -> None:
        on_progress("images", done, total)

    cache: PreparedImages
    if options.keeps_images:
        cache = build_image_cache(*where, workers=options.workers, on_progress=report, on_note=on_note)
    else:
        cache = stream_images(*where, workers=options.workers, check=options.allow_missing, on_progress=report)
    first: dict[str, int] = {}
    content_of = np.array([first.setdefault(content, index) for index, content in enumerate(cache.contents)])
    pairs = _usable(replace(pairs, content_of=content_of), cache, options.allow_missing)
    for name in ("problem", "gap"):
        if text := pairs.provenance.details.get(name):
            on_note(text)
    if pairs.left_out:
        on_note(f"{pluralize(pairs.left_out, 'caption')} left out: their images are missing or broken")
    return cache, pairs


def image_inputs(
    model: Model,
    images: PreparedImages,
    recipe: Recipe,
    options: FinetuneOptions,
    on_note: Note,
    on_progress: Progress,
) -> Images:
    """Pixels, or features of a frozen tower, which the model centers from now on if the recipe says so."""
    if not recipe.keeps_image_tower:
        return Pixels(images, model.device)
    folder = options.cache_folder if options.keeps_images else None
    features = frozen_features(model, images, recipe, folder, on_note, on_progress)
    if recipe.center_images:
        model.center_images(features.mean())
    return features


def overlaps_with_tasks(
    pairs: TrainingPairs, tasks: Sequence[PreparedTask], options: FinetuneOptions, on_note: Note, on_progress: Progress
) -> list[str]:
    """Warn about tasks that share images with the training data."""
    if not tasks:
        return []
    found = find_overlaps(pairs.images, tasks, workers=options.workers, on_progress=on_progress)
    for overlap in found:
        on_note(f"warning: {overlap}")
    return [str(overlap) for overlap in found]


def _usable(pairs: TrainingPairs, cache: PreparedImages, allow_missing: bool) -> TrainingPairs:
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
