"""Scores of a run's checkpoints, kept in its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from clipbench.errors import ConfigError, ResultError, UnknownName
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.evaluation.preparation import PreparedTask, prepare_tasks
from clipbench.evaluation.runner import EvaluationRun
from clipbench.models import Model
from clipbench.results import Results, read_results
from clipbench.task_types.registry import select_tasks
from clipbench.training.datasets import dataset_name, training_splits
from clipbench.training.gains import Change, ClusterSums, SumsByCluster, find_changes
from clipbench.training.lora import merged
from clipbench.training.options import FinetuneOptions
from clipbench.utils.files import atomic_write
from clipbench.utils.registry import close_matches
from clipbench.utils.text import reason

_EVALUATION = re.compile(r"step-(?P<step>\d+)\.json")


class CheckpointScores:
    """The checkpoints' scores, ``evaluations/step-000120.json``; step 0 is the base model.

    Beside them, ``clusters-000120.json`` holds what comparing two of them on the same samples needs.

    Args:
        directory: The run's folder.
        tasks: The tasks with their data; none scores nothing.
        options: How they are scored.
        on_progress: Called with a task's name, samples done, and samples in all.

    Raises:
        ConfigError: A task's data cannot be used.

    Attributes:
        options: How they are scored.
    """

    def __init__(
        self,
        directory: Path,
        tasks: Sequence[PreparedTask],
        options: EvaluationOptions,
        on_progress: Progress = ignore_progress,
    ) -> None:
        self._directory, self._tasks, self.options, self._on_progress = directory, tasks, options, on_progress
        for prepared in tasks:
            if prepared.error:
                raise ConfigError(f"eval_tasks: {prepared.error}")

    def score(self, model: Model, step: int, name: str) -> Results | None:
        """Score a model, unless its scores exist already.

        Args:
            model: The model, in any mode; it is left in evaluation mode.
            step: Optimizer steps it has seen.
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
        sums = SumsByCluster({prepared.task.name: prepared.task.primary_metric for prepared in self._tasks})
        with merged(model):
            run = EvaluationRun(
                model, self._tasks, self.options, name=name, on_progress=self._on_progress, on_sample=sums.add
            )
            results = run.run()
        if results.failed:
            raise ResultError("; ".join(results.tasks[task].error or task for task in results.failed))
        place.parent.mkdir(exist_ok=True)
        atomic_write(self._sums_of(step), json.dumps(sums.sums, ensure_ascii=False))
        atomic_write(place, results.to_json())
        return results

    def changes(self, step: int) -> list[Change]:
        """What a checkpoint gained and lost against the base model; empty if one of the two is not scored."""
        places = [self._directory / "evaluations" / f"step-{number:06d}.json" for number in (0, step)]
        if not all(place.is_file() for place in places):
            return []
        base, trained = map(read_results, places)
        return find_changes(base, trained, self._sums(0), self._sums(step))

    def _sums_of(self, step: int) -> Path:
        return self._directory / "evaluations" / f"clusters-{step:06d}.json"

    def _sums(self, step: int) -> ClusterSums:
        """Empty where there are none: earlier versions did not keep them."""
        path = self._sums_of(step)
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {
                task: {cluster: (float(total), int(number)) for cluster, (total, number) in clusters.items()}
                for task, clusters in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ResultError(f"{path}: cannot be read: {reason(error)}; remove it to go on") from None

    def all(self) -> dict[int, Results]:
        """Step to scores, the base model first."""
        files = sorted((self._directory / "evaluations").glob("step-*.json"))
        found = [(match, file) for file in files if (match := _EVALUATION.fullmatch(file.name))]
        return {int(match["step"]): read_results(file) for match, file in found}


def read_tasks(
    trained_on: Sequence[str], options: FinetuneOptions, is_main: bool, on_progress: Progress
) -> tuple[list[PreparedTask], EvaluationOptions]:
    """Read the data of the tasks that checkpoints are scored on.

    Args:
        trained_on: Names of the data that is trained on.
        options: Tasks, and where their data is.
        is_main: Whether this process scores; the others read nothing.
        on_progress: Called with a task's name, samples done, and samples in all.

    Raises:
        UnknownName: A task, or a name in ``data`` that the run does not use.
        ConfigError: An option is invalid.
    """
    read = {task.dataset.name for task in select_tasks(options.eval_tasks)} if options.eval_tasks else set()
    known = read | (set(map(dataset_name, trained_on)) & training_splits().keys())
    for name in options.data:
        if name not in known:
            listed = ", ".join(sorted(known)) or "no named data set"
            raise UnknownName(f"data {name}: not used by this run{close_matches(name, known)}; it uses {listed}")
    places = {name: place for name, place in options.data.items() if name in read}
    evaluation = EvaluationOptions(data=places, limit=options.eval_limit, workers=options.workers)
    wanted = options.eval_tasks and is_main
    return (prepare_tasks(options.eval_tasks, evaluation, on_progress) if wanted else []), evaluation
