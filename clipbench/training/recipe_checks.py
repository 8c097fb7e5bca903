"""Settings of a recipe that contradict each other, or that nothing would come of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.training.recipe import Recipe

PAIRS: Final = "pairs"
"""In place of a column of negatives: rows hold several images, each with its caption; the others are its negatives."""


def check_mix(recipe: Recipe) -> None:
    """Refuse shares of a batch that are no shares, or that leave nothing for one of its parts.

    Raises:
        ConfigError: Names the part.
    """
    for name, share in recipe.mix.items():
        if not name or not isinstance(share, int | float) or not 0 < share < 1:
            raise ConfigError(f"`mix` {name}={share}: give a data set's name and a share between 0 and 1")
        if not recipe.mixed_pairs[name]:
            raise ConfigError(f"`mix` {name}={share}: less than one pair of a batch of {recipe.batch_size}")
    if recipe.mix and recipe.own_pairs < 1:
        given = ", ".join(f"{name}={share}" for name, share in recipe.mix.items())
        raise ConfigError(f"`mix` {given}: nothing of a batch of {recipe.batch_size} is left for train_data")


def check_effects(recipe: Recipe) -> None:
    """Refuse settings that cannot have the effect that they ask for.

    Raises:
        ConfigError: Names the setting, and what it depends on.
    """
    if recipe.lora_alpha is not None and not recipe.lora_rank:
        raise ConfigError("lora_alpha: has no effect without lora_rank")
    if recipe.loss == "inbatch_replacement" and recipe.negatives >= recipe.batch_size:
        raise ConfigError(
            f"negatives {recipe.negatives}: inbatch_replacement puts them in place of the other {recipe.batch_size - 1}"
            " captions of a batch: give fewer, or a larger batch_size"
        )
    if recipe.loss != "inbatch_replacement" and recipe.negatives_in != "both":
        raise ConfigError(f"negatives_in {recipe.negatives_in}: has no effect on loss {recipe.loss}")


def check_negative_sources(recipe: Recipe) -> None:
    """Refuse sources of hard negatives that exclude each other, or that nothing is taken from.

    Raises:
        ConfigError: Names the setting.
    """
    if "none" in recipe.concepts:
        if len(recipe.concepts) > 1:
            raise ConfigError(f"concepts {', '.join(recipe.concepts)}: none means all captions; give it alone")
        if "general" in recipe.mix:
            raise ConfigError("`mix` general: with concept none, all captions are trained on already")
    if recipe.negatives_from and not recipe.negatives:
        raise ConfigError("negatives_from: has no effect with negatives 0")
    if PAIRS in recipe.negatives_from and (len(recipe.negatives_from) > 1 or recipe.negative_images_from):
        raise ConfigError("negatives_from pairs: takes captions and images of the row's other pairs, and no columns")
    if recipe.replacement_sampling == "matched":
        if recipe.negatives_from:
            raise ConfigError("replacement_sampling matched: exchanges keywords; it has no effect on negatives_from")
        if recipe.captions_per_image == "one":
            raise ConfigError("replacement_sampling matched: counts all captions; needs captions_per_image all")
        if not recipe.negatives:
            raise ConfigError("replacement_sampling matched: needs negatives, and keywords of a concept to exchange")
    if recipe.mend_articles and (recipe.negatives_from or not recipe.negatives):
        what = "negatives_from" if recipe.negatives_from else "negatives 0"
        raise ConfigError(f"mend_articles: exchanges of keywords are mended; it has no effect with {what}")
    for name in ("negatives_from", "negative_images_from"):
        columns = getattr(recipe, name)
        if len(set(columns)) < len(columns):
            raise ConfigError(f"{name} {', '.join(columns)}: a column appears twice")
