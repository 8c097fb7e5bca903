"""The runs of a study: what is trained, and which tasks are scored after which epoch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError
from clipbench.reproduce.study import FIGURE, ORIGINAL, Study, concept_label, model_label, most_negatives
from clipbench.reproduce.table_schema import DatasetsTable, RetrievalTable
from clipbench.results import sanitize
from clipbench.utils.registry import close_matches


@dataclass(frozen=True, slots=True)
class Run:
    """A model of a study: a base model as it is, or one training.

    Attributes:
        name: Also that of its folder.
        base_model: The model, or what its training starts from.
        concept: The concept it is trained on, as the study gives it; empty for the base model itself.
        negatives: Hard negatives per caption.
        seed: Of the training.
    """

    name: str
    base_model: str
    concept: str = ""
    negatives: int = 0
    seed: int = 0

    @property
    def is_base(self) -> bool:
        """Nothing is trained."""
        return not self.concept

    @property
    def label(self) -> str:
        """The paper's name of its kind."""
        return ORIGINAL if self.is_base else model_label(self.negatives)

    @property
    def concept_label(self) -> str:
        """The concept's name."""
        return concept_label(self.concept)


def runs_of(study: Study) -> list[Run]:
    """All runs: base models first, then seed by seed, so that a study that ends early has complete rows."""
    several = len(study.base_models) > 1
    found = []
    for base in study.base_models:
        before = f"{sanitize(base)}-" if several else ""
        found.append(Run(f"{before}orig", base))
        found += [
            Run(
                f"{before}{concept_label(concept)}-{f'hn{number}' if number else 'control'}-seed{seed}",
                base,
                concept,
                number,
                seed,
            )
            for seed in study.training.seeds
            for concept in study.training.concepts
            for number in study.training.negatives
            if number <= most_negatives(concept)
        ]
    return found


_CLOSE = 0.02  # of an epoch: checkpoints lie on whole steps


def is_whole(epoch: float) -> bool:
    """Whether a checkpoint was made after a whole epoch.

    Examples:
        >>> is_whole(2.9998), is_whole(0.1)
        (True, False)
    """
    return abs(epoch - round(epoch)) < _CLOSE


def tasks_at(study: Study, run: Run, epoch: float, tables: Collection[str] | None = None) -> list[str]:
    """Tasks that a model is scored on.

    Args:
        study: The study.
        run: The model.
        epoch: Epochs trained, maybe a fraction; 0 for a base model.
        tables: Ids of the tables that are wanted, and ``figure``; None: all.
    """
    whole = run.is_base or is_whole(epoch)
    last = run.is_base or epoch > study.training.epochs - _CLOSE
    found: list[str] = []
    for table in study.tables:
        if tables is not None and table.id not in tables:
            continue
        if isinstance(table, DatasetsTable):
            found += [
                task for row in table.rows.values() for concept, task in row.items() if last and _is_of(run, concept)
            ]
            continue
        own = [task for concept, task in table.tasks.items() if whole and _is_of(run, concept)]
        found += own + ([table.retrieval] if own and isinstance(table, RetrievalTable) else [])
    if study.figure and (tables is None or FIGURE in tables):
        own = [task for concept, task in study.figure.tasks.items() if _is_of(run, concept)]
        found += own + ([study.figure.retrieval] if own else [])
    return list(dict.fromkeys(found))


def _is_of(run: Run, concept: str) -> bool:
    return run.is_base or run.concept_label == concept


def training_inputs(study: Study, run: Run, data_fingerprint: str) -> dict[str, Any]:
    """Everything that a training's weights depend on, apart from the base model's.

    ``allow_missing`` is not among them: what was left out of a training is in its record.
    """
    training = study.training
    recipe = training.recipe_of(run.concept_label, run.negatives, run.seed).identity()
    return {
        "base_model": run.base_model,
        "data": data_fingerprint,
        "limit": training.limit,
        "recipe": recipe,
        "keywords": load_concept(run.concept).replacements,
    }


def chosen(study: Study, only: str | None) -> tuple[list[Run], frozenset[str] | None]:
    """Select runs and tables: names of runs with ``*``, ids of tables, and ``figure``, separated by commas.

    If tables are named, runs that none of them shows are left out.

    Raises:
        ConfigError: Nothing has such a name.
    """
    runs = runs_of(study)
    if not only:
        return runs, None
    ids = {table.id for table in study.tables} | ({FIGURE} if study.figure else set())
    parts = [part.strip() for part in only.split(",") if part.strip()]
    patterns = [part for part in parts if part not in ids]
    for pattern in patterns:
        if not any(fnmatchcase(run.name, pattern) for run in runs):
            near = close_matches(pattern, [*ids, *(run.name for run in runs)])
            raise ConfigError(f"only {pattern}: no run or table of study {study.name} has this name{near}")
    tables = frozenset(ids & set(parts)) or None
    kept = [run for run in runs if not patterns or any(fnmatchcase(run.name, pattern) for pattern in patterns)]
    return [run for run in kept if tasks_at(study, run, study.training.epochs, tables)], tables
