"""Choice: one image with several texts that may describe it, or one text with several images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import comb
from typing import TYPE_CHECKING, ClassVar

from clipbench.data.dataset import Source
from clipbench.errors import DataError
from clipbench.task_types.base import SampleTask, only_image
from clipbench.types import LoggedSample, Row, Sample, SampleResult

if TYPE_CHECKING:
    from clipbench.metrics import Floats
    from clipbench.task_types.blind import BlindRules


class ChoiceTask(SampleTask):
    """A sample is right when every true text scores higher than every false one.

    Chance is the probability ``t! f! / (t + f)!`` that a random order of ``t`` true and ``f`` false texts has all true
    ones first: 1/k for one true text of k. It may differ between samples.

    Attributes:
        group_field: A field of the rows by which results are broken down.
    """

    task_type = "choice"
    metrics = ("acc",)
    primary_metric = "acc"
    hub_task = ("image-text-matching", "Choice among captions")
    group_field: ClassVar[str] = ""

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each row: its captions are true, its false captions false."""
        for row in source.rows(where=self.where):
            image = only_image(row, "a choice among texts")
            texts = (*row.captions, *row.false_captions)
            yield Sample(row.id, (image,), texts, self._group(row), _cluster(row), len(row.captions))

    def _group(self, row: Row) -> str:
        part = row.fields.get(self.group_field, self.name)
        return "_".join(map(str, part)) if isinstance(part, list | tuple) else str(part)

    def invalid_reason(self, sample: Sample) -> str | None:
        """A caption is missing or empty, or a true caption equals another one."""
        texts = [" ".join(text.split()) for text in sample.texts]
        true, false = texts[: sample.true_texts], texts[sample.true_texts :]
        if not true or not false:
            return "no false caption: name a column of them in `false_captions`" if true else "no true caption"
        if not all(texts):
            return "empty caption"
        if set(true) & set(false):
            return "a false caption is the same as a true one"
        return "two true captions are the same" if len(set(true)) < len(true) else None

    def blind_rules(self) -> BlindRules | None:
        """Rules by the length of texts and the frequency of their words."""
        from clipbench.task_types.blind import TextRules  # imports numpy

        return TextRules()

    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Compare the least similar true text with the most similar false one; a tie is not a win."""
        scores: list[float] = similarities[0].tolist()
        won, tied = _chosen(scores, sample.true_texts)
        record = {
            "images": [sample.images[0].key],
            "texts": list(sample.texts),
            "scores": scores,
            "true_texts": sample.true_texts,
        }
        chance = 1 / comb(len(scores), sample.true_texts)
        return SampleResult(sample.id, {"acc": float(won)}, won, chance, tied, sample.group, sample.cluster, record)

    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        won, _ = _chosen(list(sample.scores[0]), int(sample.values["true_texts"]))
        return {"acc": float(won)}

    @classmethod
    def own_texts(cls, sample: LoggedSample) -> list[bool]:
        """The true ones, which come first."""
        return [place < int(sample.values["true_texts"]) for place in range(len(sample.texts))]


class ImageChoiceTask(ChoiceTask):
    """A sample is right when the text scores higher with the true image than with every other one. Chance is 1/k.

    A row has one caption; its first image is the true one.
    """

    task_type = "image_choice"
    hub_task = ("image-text-matching", "Choice among images")

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each row."""
        for row in source.rows(where=self.where):
            if len(row.images) < 2 or len(row.captions) != 1:
                raise DataError(
                    f"row {row.id} has {len(row.images)} images and {len(row.captions)} captions: a choice among images"
                    " has several images and one caption"
                )
            yield Sample(row.id, row.images, row.captions, self._group(row), _cluster(row))

    def invalid_reason(self, sample: Sample) -> str | None:
        """The caption is empty, or the true image is among the others."""
        if not sample.texts[0].strip():
            return "empty caption"
        true, *others = (ref.key for ref in sample.images)
        return "a false image is the same as the true one" if true in others else None

    def blind_rules(self) -> None:
        """None: the images compete."""

    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Compare the true image with all others; a tie is not a win."""
        won, tied = _chosen(similarities[:, 0].tolist(), 1)
        record = {
            "images": [ref.key for ref in sample.images],
            "texts": list(sample.texts),
            "scores": similarities.tolist(),
        }
        chance = 1 / len(sample.images)
        return SampleResult(sample.id, {"acc": float(won)}, won, chance, tied, sample.group, sample.cluster, record)

    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        won, _ = _chosen([row[0] for row in sample.scores], 1)
        return {"acc": float(won)}

    @classmethod
    def own_texts(cls, sample: LoggedSample) -> list[bool]:
        """The text belongs to the first image."""
        return [True]


def _cluster(row: Row) -> str:
    """The image, unless the data gives a larger unit: images cropped from one photograph, or a set of images."""
    return str(row.fields.get("cluster", row.images[0].key))


def _chosen(scores: list[float], true: int) -> tuple[bool, bool]:
    """Whether the first ``true`` scores exceed all others, and whether a tie alone prevents it."""
    from clipbench.metrics import top1  # imports numpy, which listing tasks does not need

    return top1([min(scores[:true]), *scores[true:]])
