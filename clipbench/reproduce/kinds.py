"""Kinds of models in a study: what a column of the paper's tables stands for."""

from __future__ import annotations

from dataclasses import dataclass

from clipbench.analysis.published import ORIGINAL
from clipbench.reproduce.study import Study
from clipbench.reproduce.training_schema import model_label


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model.

    Attributes:
        negatives: Hard negatives per caption; None for the base model.
        method: A name in ``Training.methods``; empty for the study's own recipe.
        alpha: The share of the fine-tuned weights; 1 but for interpolated models.
    """

    negatives: int | None = None
    method: str = ""
    alpha: float = 1.0

    @property
    def label(self) -> str:
        """Its name in tables: the paper's, where the paper has it.

        Examples:
            >>> Kind().label, Kind(0).label, Kind(1, "matched").label, Kind(1, alpha=0.5).label
            ('Orig.', 'Clas.', 'matched', 'HN1, α 0.5')
        """
        if self.negatives is None:
            return ORIGINAL
        name = self.method or model_label(self.negatives)
        return name if self.alpha == 1 else f"{name}, α {self.alpha:g}"

    @property
    def slug(self) -> str:
        """Its name in names of runs.

        Examples:
            >>> Kind(0).slug, Kind(1).slug, Kind(1, "matched").slug, Kind(1, alpha=0.5).slug
            ('control', 'hn1', 'matched', 'hn1-alpha0.5')
        """
        if self.negatives is None:
            return "orig"
        name = self.method or (f"hn{self.negatives}" if self.negatives else "control")
        return name if self.alpha == 1 else f"{name}-alpha{self.alpha:g}"


BASE = Kind()


def trained_kinds(study: Study) -> list[Kind]:
    """The kinds that are trained, in the order of columns: by number of hard negatives, then the methods."""
    training = study.training
    plain = [Kind(number) for number in sorted(training.negatives)]
    return plain + [Kind(int(changes.get("negatives", 1)), name) for name, changes in training.methods.items()]


def all_kinds(study: Study) -> list[Kind]:
    """The same, and the interpolations of the models with one hard negative."""
    kinds = trained_kinds(study)
    mixed = [Kind(1, alpha=alpha) for alpha in sorted(study.alphas)] if Kind(1) in kinds else []
    return kinds + mixed
