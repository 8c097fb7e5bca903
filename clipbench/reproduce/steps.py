"""The runs of a study: what is trained, and which tasks are scored after which epoch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError
from clipbench.reproduce.kinds import BASE, Kind, all_kinds
from clipbench.reproduce.study import FIGURE, Study
from clipbench.reproduce.table_schema import DatasetsTable, GainsTable, RetrievalTable, ScoresTable
from clipbench.reproduce.training_schema import concept_label, most_negatives
from clipbench.results import sanitize
from clipbench.training.recipe import Recipe
from clipbench.utils.registry import close_matches


@dataclass(frozen=True, slots=True)
class Run:
    """A model of a study: a base model as it is, or one training.

    Attributes:
        name: Also that of its folder.
        base_model: The model, or what its training starts from.
        concept: The concept it is trained on, as the study gives it; empty for the base model itself.
        kind: Which kind of model it is.
        seed: Of the training.
    """

    name: str
    base_model: str
    concept: str = ""
    kind: Kind = BASE
    seed: int = 0

    @property
    def is_base(self) -> bool:
        """It is the base model."""
        return self.kind == BASE

    @property
    def is_interpolated(self) -> bool:
        """Its weights lie between those of the base model and of another run."""
        return self.kind.alpha != 1

    @property
    def concept_label(self) -> str:
        """The concept's name."""
        return concept_label(self.concept)

    @property
    def finetuned(self) -> Run:
        """The run whose training it is made of: itself, unless it is interpolated."""
        if not self.is_interpolated:
            return self
        whole = replace(self.kind, alpha=1.0)
        before = self.name.removesuffix(_ending(self.kind, self.seed))
        return replace(self, name=before + _ending(whole, self.seed), kind=whole)


def _ending(kind: Kind, seed: int) -> str:
    """The end of a run's name."""
    return f"{kind.slug}-seed{seed}"


def runs_of(study: Study) -> list[Run]:
    """All runs: base models first, then seed by seed, so that a study that ends early has complete rows."""
    several = len(study.base_models) > 1
    found = []
    for base in study.base_models:
        before = f"{sanitize(base)}-" if several else ""
        found.append(Run(f"{before}orig", base))
        found += [
            Run(f"{before}{concept_label(concept)}-{_ending(kind, seed)}", base, concept, kind, seed)
            for seed in study.training.seeds
            for concept in study.training.concepts
            for kind in all_kinds(study)
            if (kind.negatives or 0) <= most_negatives(concept)
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
    last = run.is_base or epoch > study.training.epochs - _CLOSE
    found: list[str] = []
    for table in study.tables:
        if tables is not None and table.id not in tables:
            continue
        if isinstance(table, DatasetsTable):
            found += [
                task
                for row in table.rows.values()
                for concept, task in row.items()
                if last and not run.is_interpolated and _is_of(run, concept)
            ]
            continue
        if isinstance(table, ScoresTable | GainsTable):
            shown = last and not (run.is_interpolated and isinstance(table, ScoresTable))
            own = [task for concept, task in table.tasks.items() if shown and _is_of(run, concept)]
            found += [*own, *(table.retrieval if own else ())]
            continue
        whole = run.is_base or (is_whole(epoch) and not run.is_interpolated)
        own = [task for concept, task in table.tasks.items() if whole and _is_of(run, concept)]
        found += own + ([table.retrieval] if own and isinstance(table, RetrievalTable) else [])
    if study.figure and (tables is None or FIGURE in tables):
        shown = last or study.figure.checkpoints == "all"
        own = [task for concept, task in study.figure.tasks.items() if shown and _is_of(run, concept)]
        found += own + ([study.figure.retrieval] if own else [])
    return list(dict.fromkeys(found))


def _is_of(run: Run, concept: str) -> bool:
    return run.is_base or run.concept_label == concept


def training_inputs(study: Study, run: Run, data_fingerprint: str) -> dict[str, Any]:
    """Everything that a training's weights depend on, apart from the base model's.

    ``allow_missing`` is not among them: what was left out of a training is in its record.
    """
    training = study.training
    common: dict[str, Any] = {"base_model": run.base_model, "data": data_fingerprint}
    if run.is_base:
        return {**common, "model_args": study.model_args, "recipe": recipe_of(study, run).identity()}
    recipe = replace(recipe_of(study, run), concepts=(run.concept_label,)).identity()
    keywords = load_concept(run.concept).replacements
    return {**common, "limit": training.limit, "recipe": recipe, "keywords": keywords}


def recipe_of(study: Study, run: Run) -> Recipe:
    """The recipe of a run's training.

    Raises:
        ConfigError: The run is a base model that is not trained.
    """
    if run.is_base:
        if study.base_training is None:
            raise ConfigError(f"study {study.name}: {run.base_model} is not trained")
        return study.base_training.as_recipe()
    return study.training.recipe_of(run.concept, run.kind.negatives or 0, run.seed, run.kind.method)


def base_run(study: Study, run: Run) -> Run:
    """The run of a run's base model."""
    return next(one for one in runs_of(study) if one.is_base and one.base_model == run.base_model)


def is_trained(study: Study, run: Run) -> bool:
    """Whether a run has a training of its own."""
    return study.base_training is not None if run.is_base else not run.is_interpolated


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
