"""Concept ranking (§5.1 of the paper): one image, its caption, and the caption with one word replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

from clipbench.concepts import Concept, Variants, load_concept
from clipbench.data.dataset import Source
from clipbench.task_types.base import SampleTask, only_image
from clipbench.types import Deferred, LoggedSample, Sample, SampleResult

if TYPE_CHECKING:
    from clipbench.metrics import Floats
    from clipbench.task_types.blind import BlindRules


class RankingTask(SampleTask):
    """A sample is right when its caption's similarity exceeds that of every variant.

    ``acc`` is the share of such samples; ``acc_balanced`` is the mean of ``acc`` over keywords, so that knowing which
    keywords are frequent does not help.

    Attributes:
        concept: A concept's name, or the path of a YAML file with one.
        skip_keywords: Keywords of the concept that are not looked for in this dataset.
    """

    task_type = "ranking"
    metrics = ("acc", "acc_balanced")
    primary_metric = "acc"
    balanced_metrics: ClassVar[Mapping[str, str]] = {"acc_balanced": "acc"}
    needs_concept = True
    hub_task = ("zero-shot-image-classification", "Concept ranking")

    concept: ClassVar[str]
    skip_keywords: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def active_concept(self) -> Concept:
        """The concept, without the keywords that this dataset excludes."""
        return load_concept(self.concept).without_keywords(self.skip_keywords)

    @cached_property
    def chance(self) -> float | None:
        """One in the number of texts, if that is the same for all keywords."""
        counts = {1 + len(others) for others in self.active_concept.replacements.values()}
        return 1 / counts.pop() if len(counts) == 1 else None

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each caption that holds a keyword."""
        concept = self.active_concept
        rows = source.rows(where=self.where, keep=lambda captions: any(map(concept.matches, captions)))
        for row in rows:
            image = only_image(row, "ranking")
            for index, caption in enumerate(row.captions):
                variants = concept.variants(caption)
                if variants is not None:
                    name = row.id if len(row.captions) == 1 else f"{row.id}#{index}"
                    yield Sample(name, (image,), variants, variants.keyword, image.key)

    def invalid_reason(self, sample: Sample) -> str | None:
        """Never: a caption with a keyword always differs from its variants."""
        return None

    def blind_rules(self) -> BlindRules:
        """Rules by the frequency of keywords, alone and between their neighbors."""
        from clipbench.task_types.blind import KeywordRules  # imports numpy

        return KeywordRules()

    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Top-1: the caption as written against all its variants, a tie being no win."""
        from clipbench.metrics import top1  # brings numpy, which a mere listing does without

        scores: list[float] = similarities[0].tolist()
        won, tied = top1(scores)
        record = Deferred(partial(_record, sample, scores))
        return SampleResult(
            sample.id, {"acc": float(won)}, won, 1 / len(scores), tied, sample.group, sample.cluster, record
        )

    @classmethod
    def confusion(cls, sample: LoggedSample) -> tuple[str, str]:
        """The caption's keyword, and the keyword ranked first; a tie counts for the other one, as it does in ``acc``.

        Raises:
            LookupError: The line has no keyword or no replacements.
        """
        keyword, others = str(sample.values["keyword"]), sample.scores[0][1:]
        answer = keyword if sample.correct else sample.values["replacements"][others.index(max(others))]
        return keyword, answer


def _record(sample: Sample, scores: list[float]) -> dict[str, object]:
    """What the log holds of a sample; its texts are made once more for it."""
    record: dict[str, object] = {
        "images": [sample.images[0].key],
        "texts": list(sample.texts),
        "scores": scores,
        "keyword": sample.group,
    }
    if isinstance(sample.texts, Variants):
        record["replacements"] = list(sample.texts.replacements)
    return record
