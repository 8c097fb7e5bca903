"""Scores of the models between two others, each kept on disk as soon as it is known."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import Point, pareto_front, point_from_results
from clipbench.errors import ConfigError, ResultError
from clipbench.evaluation.identity import images_digest, options_identity, task_identity
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.evaluation.preparation import PreparedTask
from clipbench.evaluation.runner import EvaluationRun
from clipbench.results import Interpolation, Results, ResultsDirectory, read_results
from clipbench.results.files import find_result_files
from clipbench.training.interpolation import alpha_name, interpolate
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_directory

if TYPE_CHECKING:
    from clipbench.models import Model


def alpha_folders(output_path: Path, alphas: Sequence[float]) -> dict[float, ResultsDirectory]:
    """Folders of results, ``alpha-0.30`` and so on; each is created with its first file.

    Raises:
        ConfigError: They cannot be written to.
    """
    now = datetime.now()
    return {alpha: ResultsDirectory(output_path, f"alpha-{alpha_name(alpha)}", now) for alpha in alphas}


def score_interpolations(
    base: Model,
    finetuned: Model,
    folders: Mapping[float, ResultsDirectory],
    plans: Sequence[PreparedTask],
    options: EvaluationOptions,
    *,
    save: Sequence[float] = (),
    on_progress: Progress = ignore_progress,
    on_note: Callable[[str], None] = lambda text: None,
    on_error: Callable[[ResultError], None] | None = None,
) -> Iterator[tuple[float, Results]]:
    """Score each α's model; what an earlier run finished with the same weights, tasks and data is read again.

    Args:
        base: The original model; changed meanwhile, see ``interpolate``.
        finetuned: Its fine-tuned version.
        folders: α to where its results go, in the order of scoring; see ``alpha_folders``.
        plans: The tasks and their data, gone through once for all.
        options: The run's options.
        save: α whose model is written as a checkpoint, ``alpha-0.50/model``.
        on_progress: Called with the progress of a task.
        on_note: Called with one line if an earlier run's file cannot be read, so that α is scored again.
        on_error: Called with the error if an α's results cannot be written; they are still yielded. By default it is
            raised.

    Yields:
        α and its results.

    Raises:
        ConfigError: An α is to be saved that is not scored.
        ModelError: The models are not versions of one, or a checkpoint cannot be written.
        ResultError: Results cannot be written.
    """
    for alpha in save:
        if alpha not in folders:
            raise ConfigError(f"alpha {alpha_name(alpha)}: only a scored alpha can be saved; add it to alphas")
    inputs = _inputs(plans, options)
    identities = {alpha: _identity(base, finetuned, alpha, inputs) for alpha in folders}
    kept = {alpha: _finished(folder, identities[alpha], plans, on_note) for alpha, folder in folders.items()}
    needed = [alpha for alpha in folders if kept[alpha] is None or alpha in save]
    with closing(interpolate(base, finetuned, needed)) as models:
        for alpha, folder in folders.items():
            results = kept[alpha]
            if alpha in needed:
                _, model = next(models)
                if alpha in save:
                    with atomic_directory(folder.results_path.parent / "model") as part:
                        model.save(part)
                if results is None:
                    results = _score(model, folder, plans, options, identities[alpha], on_progress, on_error)
            if results is not None:
                yield alpha, results


def _score(
    model: Model,
    folder: ResultsDirectory,
    plans: Sequence[PreparedTask],
    options: EvaluationOptions,
    identity: Interpolation,
    on_progress: Progress,
    on_error: Callable[[ResultError], None] | None,
) -> Results:
    run = EvaluationRun(
        model,
        plans,
        options,
        directory=folder,
        interpolation=identity,
        on_progress=on_progress,
    )
    try:
        return run.run()
    except ResultError as error:
        if on_error is None or run.results is None:
            raise
        on_error(error)
        return run.results


def _identity(base: Model, finetuned: Model, alpha: float, inputs: str) -> Interpolation:
    """Everything that an α's scores depend on."""
    return Interpolation(base=base.fingerprint, finetuned=finetuned.fingerprint, alpha=alpha, inputs=inputs)


def _inputs(plans: Sequence[PreparedTask], options: EvaluationOptions) -> str:
    """Digest of everything that scores depend on apart from the models."""
    tasks = [(task_identity(plan), images_digest(plan, options) or uuid.uuid4().hex) for plan in plans]
    return digest([tasks, options_identity(options), metadata.version("clipbench")])


def _finished(
    folder: ResultsDirectory, identity: Interpolation, plans: Sequence[PreparedTask], on_note: Callable[[str], None]
) -> Results | None:
    """Results of an earlier run with every task scored, or None."""
    for path in reversed(find_result_files(folder.path)):
        try:
            results = read_results(path)
        except ResultError as error:
            on_note(f"{error}; ignored")
            continue
        whole = all(plan.task.name in results.tasks for plan in plans) and not results.failed
        if whole and results.interpolation == identity:
            return results
    return None


def interpolation_points(scored: Mapping[float, Results], base: str, finetuned: str) -> list[Point]:
    """The trade-off's points: the curve, and the original where α = 0 was scored.

    Args:
        scored: α to its results.
        base: What the figure calls the original.
        finetuned: What it calls the curve.

    Raises:
        ResultError: There is not exactly one retrieval task, or no other task.
    """
    points = [
        point_from_results(results, finetuned, f"α = {alpha_name(alpha)}", alpha=alpha)
        for alpha, results in sorted(scored.items())
    ]
    originals = [point.model_copy(update={"curve": ORIGINAL, "label": base}) for point in points if point.alpha == 0]
    return [*originals, *points]


def alphas_on_front(points: Sequence[Point], task: str) -> set[float]:
    """The α that no other one beats in both retrieval and a task; none where the task is no concept's."""
    curve = [point for point in points if point.alpha is not None and task in {s.task for s in point.concepts}]
    kept = pareto_front([point.at(task) for point in curve])
    return {point.alpha for point, is_kept in zip(curve, kept, strict=True) if is_kept and point.alpha is not None}
