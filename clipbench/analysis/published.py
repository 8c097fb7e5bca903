"""Published figures: read from ``published.yaml``, the only place where they are typed in.

Sources: arXiv 2403.02875, Tables 1, 2 and 7; and related benchmarks on OpenAI's ViT-B/32, as scored by
ytaek-oh/vl_compo. Standard errors were not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from clipbench.utils.yaml import parse_yaml

PAPER = "arXiv 2403.02875"
ORIGINAL = "Orig."  # the paper's word for the base model itself
_FILE = Path(__file__).parent / "published.yaml"
_RELATED = "ytaek-oh/vl_compo, ViT-B-32 openai"


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """One model's published score on one task.

    Attributes:
        source: The publication and its table.
        model: The model, for a reader.
        task: The task's name.
        task_type: The task's type.
        metric: The metric to quote, a key of ``values``.
        values: Metric to value, a share in [0, 1].
        concept: The concept that the model was trained on; None for the base model.
        kind: ``Orig.``, ``Clas.``, ``HN1``, ``HN2`` or ``HN3``.
        epoch: After which epoch; None where no epoch is named.
        n: Samples.
        chance: What guessing gives.
    """

    source: str
    model: str
    task: str
    task_type: str
    metric: str
    values: Mapping[str, float]
    concept: str | None = None
    kind: str = ORIGINAL
    epoch: int | None = None
    n: int | None = None
    chance: float | None = None

    @property
    def value(self) -> float:
        """The metric to quote."""
        return self.values[self.metric]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task: str
    task_type: str = "ranking"
    chance: float | None = None
    n: int | None = None


class _Trained(_Part):
    source: str
    concept: str
    metric: str = "acc"
    figures: dict[str, float | list[float]]


class _Base(_Part):
    acc: float
    text_acc: float | None = None
    group_acc: float | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base_model: str
    trained: list[_Trained]
    base: list[_Base]


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """All published figures, in the file's order."""
    file = parse_yaml(_FILE, _File)
    found = []
    for row in file.trained:
        for kind, figures in row.figures.items():
            several = isinstance(figures, list)
            for epoch, value in enumerate(figures if isinstance(figures, list) else [figures], 1):
                trained = f"{kind} {row.concept}" + (f", epoch {epoch}" if several else "")
                found.append(
                    PublishedFigure(
                        row.source,
                        file.base_model if kind == ORIGINAL else trained,
                        row.task,
                        row.task_type,
                        row.metric,
                        MappingProxyType({row.metric: value}),
                        None if kind == ORIGINAL else row.concept,
                        kind,
                        epoch if several else None,
                        row.n,
                        row.chance,
                    )
                )
    for base in file.base:
        named = {"acc": base.acc, "text_acc": base.text_acc, "group_acc": base.group_acc}
        values = MappingProxyType({name: value for name, value in named.items() if value is not None})
        found.append(
            PublishedFigure(
                _RELATED, file.base_model, base.task, base.task_type, "acc", values, n=base.n, chance=base.chance
            )
        )
    return tuple(found)


@cache
def _by_key() -> dict[tuple[str, str | None, str, int | None], PublishedFigure]:
    return {(one.task, one.concept, one.kind, one.epoch): one for one in published_figures()}


def published_figure(task: str, concept: str | None, kind: str, epoch: int | None) -> PublishedFigure | None:
    """The published figure of a model on a task, or None.

    Args:
        task: The task's name.
        concept: The concept that the model was trained on; of no account for ``Orig.``.
        kind: ``Orig.``, ``Clas.``, ``HN1``, ``HN2`` or ``HN3``.
        epoch: After which epoch; a figure without an epoch answers for every one.

    Examples:
        >>> published_figure("coco_color", "color", "HN1", 3).value
        0.82

    Examples:
            >>> published_figure("flickr30k_size", "size", "HN1", 3).source
            'arXiv 2403.02875, Table 2'
    """
    if kind == ORIGINAL:
        return _by_key().get((task, None, kind, None))
    return _by_key().get((task, concept, kind, epoch)) or _by_key().get((task, concept, kind, None))
