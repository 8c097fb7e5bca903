"""A study's scoring step: a checkpoint on the tasks that have no results yet."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.errors import ModelError
from clipbench.evaluation.identity import task_identity
from clipbench.evaluation.options import EvaluationOptions, Progress
from clipbench.evaluation.preparation import PreparedTask, prepare_tasks
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.steps import Run, tasks_at
from clipbench.reproduce.study import Study
from clipbench.results import StudyStep
from clipbench.results.writer import write_sample_log
from clipbench.task_types.registry import select_tasks
from clipbench.training.datasets import dataset_name
from clipbench.types import SampleResult
from clipbench.utils.digest import digest

if TYPE_CHECKING:
    from clipbench.evaluation.task_totals import TaskTotals
    from clipbench.inference.images import ImageFeatures
    from clipbench.models import Model


def evaluation_options(study: Study, options: StudyOptions) -> EvaluationOptions:
    """How a study's models are scored."""
    return EvaluationOptions(
        data=options.data,
        limit=study.limit,
        allow_missing=options.allow_missing,
        workers=options.workers,
        include_path=tuple(study.include_path),
    )


def plan_scores(study: Study, options: StudyOptions, on_progress: Progress) -> list[PreparedTask]:
    """Prepare the tasks of the tables that are wanted: go through their data.

    Raises:
        UnknownName, ConfigError: The study names unknown tasks or data.
    """
    chosen = evaluation_options(study, options)
    tasks = select_tasks(study.tasks(options.tables), chosen.include_path)
    # Tasks refuse the place of data that none of them reads, such as the training data's.
    read = {task.dataset.name for task in tasks}
    unread = {name for name in map(dataset_name, study.trained_on_data) if name not in read}
    chosen = replace(chosen, data={name: place for name, place in options.data.items() if name not in unread})
    return prepare_tasks(tasks, chosen, on_progress, limits=study.limits)


class StudyScorer:
    """Scores checkpoints; the data is prepared once, before the first one.

    Args:
        study: The study.
        folder: The study's folder.
        options: How the study is carried out.
        on_progress: Called with the progress.
    """

    def __init__(self, study: Study, folder: StudyFolder, options: StudyOptions, on_progress: Progress) -> None:
        self._study, self._folder, self._options, self._on_progress = study, folder, options, on_progress
        self._plans: dict[str, PreparedTask] | None = None
        self._images: ImageFeatures = OrderedDict()
        self._images_of: bytes | None = None

    def score(
        self, run: Run, step: int, epoch: float, model: Model | Path, identity: Mapping[str, object]
    ) -> Iterator[TaskTotals]:
        """Score a checkpoint on the tasks that have no results of these inputs yet; each is written at once.

        Args:
            run: The run.
            step: The checkpoint's; 0 for a base model.
            epoch: Epochs trained.
            model: The model, or a checkpoint, loaded only if there is something to score.
            identity: What distinguishes the model from others.

        Yields:
            Each task's result, including failures.

        Raises:
            UnknownName, ConfigError: The study names unknown tasks or data.
            ModelError: The checkpoint cannot be loaded.
            ResultError: Results cannot be written.
        """
        from clipbench.evaluation.assembly import assemble_results
        from clipbench.evaluation.runner import EvaluationRun

        waiting = self._waiting(run, step, epoch, identity)
        if not waiting:
            return
        loaded = self._load(model) if isinstance(model, Path) else model
        name = f"{run.name}, step {step}" if step else run.base_model
        options, started = evaluation_options(self._study, self._options), time.time()
        tasks = [plan for plan, _ in waiting.values()]
        images = self._images_for(loaded)
        for totals in EvaluationRun(
            loaded,
            tasks,
            options,
            name=name,
            image_features=images,
            on_progress=self._on_progress,
            open_log=partial(self._open_log, run, step),
        ):
            task = totals.task.name
            inputs = waiting[task][1]
            study_step = StudyStep(hash=digest(inputs), inputs=inputs)
            results = assemble_results([totals], loaded, options, name=name, started=started, study_step=study_step)
            if not (totals.error and self._folder.is_scored(run, step, task)):  # a failure must not hide numbers
                self._folder.write_results(run, step, task, results)
            started = time.time()
            yield totals

    @contextmanager
    def _open_log(self, run: Run, step: int, task: str) -> Iterator[Callable[[SampleResult], None]]:
        """A log of samples, for tasks on which models are compared by them."""
        if task not in self._study.logged_tasks:
            yield lambda result: None
            return
        path = self._folder.samples(run, step, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_sample_log(path, task) as append:
            yield append

    def is_waiting(self, run: Run, step: int, epoch: float, identity: Mapping[str, object]) -> bool:
        """Whether a checkpoint lacks results on some task; arguments as for ``score``."""
        return bool(self._waiting(run, step, epoch, identity))

    def _waiting(
        self, run: Run, step: int, epoch: float, identity: Mapping[str, object]
    ) -> dict[str, tuple[PreparedTask, Mapping[str, object]]]:
        """Tasks that a checkpoint has no results of, with all that a result depends on."""
        found: dict[str, tuple[PreparedTask, Mapping[str, object]]] = {}
        for plan in self._plans_of(tasks_at(self._study, run, epoch, self._options.tables)):
            name = plan.task.name
            inputs = {**identity, **task_identity(plan)}
            if not self._is_done(run, step, name, inputs):
                found[name] = plan, inputs
        return found

    def _plans_of(self, tasks: Sequence[str]) -> list[PreparedTask]:
        if self._plans is None:
            self._plans = {plan.task.name: plan for plan in plan_scores(self._study, self._options, self._on_progress)}
        return [self._plans[task] for task in tasks]

    def _load(self, checkpoint: Path) -> Model:
        from clipbench.models import load_model

        if not checkpoint.is_dir():
            raise ModelError(f"{checkpoint}: missing, and so is one of its scores: a new output_path trains it again")
        return load_model(str(checkpoint), device=self._options.device)

    def _images_for(self, model: Model) -> ImageFeatures | None:
        """Image features of earlier models, if the study freezes the image tower.

        Base models differ, so a tower is recognized by its exact features of a fixed image.
        """
        if not {"image", "image_projection"} <= set(self._study.training.recipe.get("freeze", ())):
            return None
        tower = _probe_image_tower(model)
        if tower != self._images_of:
            self._images, self._images_of = OrderedDict(), tower
        return self._images

    def _is_done(self, run: Run, step: int, task: str, inputs: Mapping[str, object]) -> bool:
        results = self._folder.results(run, step, task)
        if results is None or results.failed:
            return False
        if task in self._study.logged_tasks and not self._folder.samples(run, step, task).is_file():
            return False
        return results.study_step is not None and results.study_step.hash == digest(inputs)


def _probe_image_tower(model: Model) -> bytes:
    """Features of a fixed image, as bytes."""
    import torch

    from clipbench.models import probes

    pixels = model.preprocess(probes.noise_image(131, 97)).unsqueeze(0)
    with torch.inference_mode():
        return bytes(model.image_features(pixels).float().cpu().numpy().tobytes())
