"""Concept ranking (§5.1 of the paper): one image, its caption, and the caption with one word exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from clipbench.concepts import Concept, Variants, load_concept
from clipbench.data.dataset import Source
from clipbench.errors import DataError
from clipbench.task_types.base import Task
from clipbench.types import Outcome, Sample

if TYPE_CHECKING:
    from clipbench.metrics import Floats


class RankingTask(Task):
    """A sample is right when its caption's similarity exceeds that of every variant.

    Attributes:
        concept: A concept's name, or the path of a YAML file with one.
        excluded_sources: Keywords of the concept that are not looked for in this dataset.
    """

    family = "ranking"
    metrics = ("acc",)
    primary_metric = "acc"

    concept: ClassVar[str]
    excluded_sources: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def vocabulary(self) -> Concept:
        """The concept, without the keywords that this dataset excludes."""
        return load_concept(self.concept).without_sources(self.excluded_sources)

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each caption that holds a keyword."""
        concept = self.vocabulary
        rows = source.rows(where=self.where, keep=lambda captions: any(map(concept.matches, captions)))
        for row in rows:
            if not row.images:
                raise DataError(f"row {row.id} has no image")
            for index, caption in enumerate(row.captions):
                variants = concept.variants(caption)
                if variants is not None:
                    name = row.id if len(row.captions) == 1 else f"{row.id}#{index}"
                    image = row.images[0]
                    yield Sample(name, (image,), variants, variants.keyword, image.key)

    def unjudgeable(self, sample: Sample) -> str | None:
        """Never: a caption with a keyword always differs from its variants."""
        return None

    def judge(self, sample: Sample, similarities: Floats) -> Outcome:
        """Top-1: the caption as written against all its variants, a tie being no win."""
        from clipbench.metrics import wins  # brings numpy, which a mere listing does without

        scores: list[float] = similarities[0].tolist()
        won, tied = wins(scores)
        record: dict[str, object] = {
            "image": sample.images[0].key,
            "texts": list(sample.texts),
            "scores": scores,
            "keyword": sample.group,
        }
        if isinstance(sample.texts, Variants):
            record["replacements"] = list(sample.texts.replacements)
        return Outcome(sample.id, {"acc": float(won)}, 1 / len(scores), tied, sample.group, sample.cluster, record)
