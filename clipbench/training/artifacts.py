"""What a run makes beside its checkpoints: scores of each, the trade-off figure, the model and its card."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipbench.analysis.tradeoff import ORIGINAL, draw_tradeoff, point_from_results
from clipbench.concepts import Concept
from clipbench.errors import ConfigError, ResultError
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.evaluation.preparation import PreparedTask
from clipbench.evaluation.runner import EvaluationRun
from clipbench.models import Model
from clipbench.models.convert import to_other_format
from clipbench.models.saving import put_in_place
from clipbench.results import Results, read_results
from clipbench.training.lora import merged
from clipbench.training.model_card import CardFacts, write_model_card
from clipbench.utils.files import atomic_write

_EVALUATION = re.compile(r"step-(?P<step>\d+)\.json")


class Scores:
    """The checkpoints' scores, ``evaluations/step-000120.json``; step 0 is the base model.

    Args:
        directory: The run's folder.
        tasks: The tasks with their data; none scores nothing.
        options: How they are scored.
        on_progress: Told a task's name, samples done, and samples in all.

    Raises:
        ConfigError: A task's data cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        tasks: Sequence[PreparedTask],
        options: EvaluationOptions,
        on_progress: Progress = ignore_progress,
    ) -> None:
        self._directory, self._tasks, self._options, self._on_progress = directory, tasks, options, on_progress
        for prepared in tasks:
            if prepared.error:
                raise ConfigError(f"eval_tasks: {prepared.error}")

    def of(self, model: Model, step: int, name: str) -> Results | None:
        """Score a model, unless its scores are there already.

        Args:
            model: The model, in any mode; it is left in evaluation mode.
            step: Optimiser steps it has seen.
            name: What the results call it.

        Raises:
            ResultError: They cannot be written.
            ModelError: A feature is not finite.
        """
        if not self._tasks:
            return None
        place = self._directory / "evaluations" / f"step-{step:06d}.json"
        if place.is_file():
            return read_results(place)
        model.module.eval()
        with merged(model):
            run = EvaluationRun(model, self._tasks, self._options, name=name, on_progress=self._on_progress)
            results = run.run()
        if results.failed:
            raise ResultError("; ".join(results.tasks[task].error or task for task in results.failed))
        place.parent.mkdir(exist_ok=True)
        atomic_write(place, results.to_json())
        return results

    def all(self) -> dict[int, Results]:
        """Step to scores, the base model first."""
        files = sorted((self._directory / "evaluations").glob("step-*.json"))
        found = [(match, file) for file in files if (match := _EVALUATION.fullmatch(file.name))]
        return {int(match["step"]): read_results(file) for match, file in found}


def draw_run(scores: Mapping[int, Results], directory: Path, curve: str) -> list[Path]:
    """Draw Figure 4 for one run: a point a checkpoint, and the base model.

    Returns:
        The files; none where there is not one retrieval task and another one beside it, or no scored checkpoint.
    """
    task_types = [report.task_type for report in next(iter(scores.values())).tasks.values()] if scores else []
    if len(scores) < 2 or task_types.count("retrieval") != 1 or len(task_types) < 2:
        return []
    points = [
        point_from_results(
            results, curve if step else ORIGINAL, f"step {step}" if step else results.model_name, step=step
        )
        for step, results in scores.items()
    ]
    return draw_tradeoff(points, directory, curve)


def write_model(model: Model, directory: Path) -> Path:
    """Put the model's files into the run's folder, so that the folder is the model; and its other format beside them.

    Returns:
        The folder of the other library's format.

    Raises:
        ModelError: The other library has no such model; the folder is complete without.
        ResultError: They cannot be written.
    """
    beside = directory / ".model.part"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        with merged(model):
            model.save(beside)
        put_in_place(beside, directory)
        with merged(model):
            return to_other_format(model, directory)
    except OSError as error:
        raise ResultError(f"cannot write the model to {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_card(
    directory: Path,
    facts: Mapping[str, Any],
    concepts: Sequence[Concept],
    datasets: Sequence[str],
    scores: Mapping[int, Results],
    other_format: str | None,
) -> None:
    """Write the model card, ``README.md``.

    Args:
        directory: The run's folder.
        facts: What ``finetune.json`` holds: recipe, model, data, training.
        concepts: The concepts.
        datasets: Hub ids of the training data.
        scores: Step to scores; the base model's are step 0's.
        other_format: The other library, where the model lies in its format too.

    Raises:
        ResultError: It cannot be written.
    """
    trained = {step: results for step, results in scores.items() if step}
    write_model_card(
        directory,
        CardFacts(
            name=directory.name,
            library=facts["model"]["facts"]["library"],
            base_model=facts["model"]["id"],
            concepts={concept.name: list(concept.replacements) for concept in concepts},
            recipe=facts["recipe"],
            data=facts["data"],
            datasets=datasets,
            training=facts["training"],
            model=facts["model"]["facts"],
            results=trained[max(trained)] if trained else None,
            base_results=scores.get(0),
            other_format=other_format,
            overlaps=facts["overlaps"],
        ),
    )
