"""Pairs of images with a caption each, scored by Eq. (1) of the paper, as on InpaintCOCO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from clipbench.data.dataset import Source
from clipbench.errors import DataError
from clipbench.task_types.base import SampleTask
from clipbench.types import Row, Sample, SampleResult

if TYPE_CHECKING:
    from clipbench.metrics import Floats


class PairsTask(SampleTask):
    """Two images, two captions, and three ways to be right.

    With similarities ``s[i][t]`` of image ``i`` and caption ``t``:

    * ``acc``, Eq. (1), Winoground's image score: each caption prefers its own image,
      ``s[0][0] > s[1][0]`` and ``s[1][1] > s[0][1]``. Chance 1/4.
    * ``text_acc``, Winoground's text score: each image prefers its own caption,
      ``s[0][0] > s[0][1]`` and ``s[1][1] > s[1][0]``. Chance 1/4.
    * ``group_acc``: both. Chance 1/6.

    Attributes:
        group_field: A field of the rows by which results are broken down.
        text_template: Template for every caption, with ``{}`` for the caption.
        caption_fields: The two fields that hold the captions, if rows have several such pairs (one per language).
    """

    task_type = "pairs"
    metrics = ("acc", "text_acc", "group_acc")
    primary_metric = "acc"
    hub_task = ("image-text-matching", "Pairs of images and captions")
    chance = 1 / 4
    group_field: ClassVar[str] = ""
    text_template: ClassVar[str] = "{}"
    caption_fields: ClassVar[tuple[str, ...]] = ()

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each row."""
        for row in source.rows(where=self.where):
            captions = self._captions(row)
            if len(row.images) != 2 or len(captions) != 2:
                raise DataError(
                    f"row {row.id} has {len(row.images)} images and {len(captions)} captions; a pair has two of each"
                )
            # An empty caption stays empty, so that it is counted as invalid.
            texts = tuple(self.text_template.replace("{}", text) if text.strip() else text for text in captions)
            group = row.fields.get(self.group_field, self.name)
            yield Sample(row.id, row.images, texts, str(group), row.images[0].key)

    def _captions(self, row: Row) -> tuple[str, ...]:
        for name in self.caption_fields:
            if name not in row.fields:
                raise DataError(f"row {row.id}: no column {name!r} in this data")
        return tuple(str(row.fields[name] or "") for name in self.caption_fields) or row.captions

    def invalid_reason(self, sample: Sample) -> str | None:
        """A caption is empty, or both are the same."""
        first, second = (" ".join(text.split()) for text in sample.texts)
        if not first or not second:
            return "empty caption"
        return "both captions are the same" if first == second else None

    def score_sample(self, sample: Sample, similarities: Floats) -> SampleResult:
        """Compare within columns (image score) and within rows (text score)."""
        from clipbench.metrics import paired_scores  # brings numpy, which a mere listing does without

        (s00, s01), (s10, s11) = similarities.tolist()
        image, text, group = paired_scores(similarities)
        # If the captions score alike (such as upper and lower case for some tokenizers), neither image can win.
        alike = s00 == s01 and s10 == s11
        tied = not image and (alike or (s00 >= s10 and s11 >= s01))
        values = {"acc": float(image), "text_acc": float(text), "group_acc": float(group)}
        record = {
            "images": [ref.key for ref in sample.images],
            "texts": list(sample.texts),
            "scores": similarities.tolist(),
        }
        return SampleResult(sample.id, values, image, 1 / 4, tied, sample.group, sample.cluster, record)
