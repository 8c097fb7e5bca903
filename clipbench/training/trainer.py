"""The training loop: from a model, data and a recipe to a trained model in a folder (§3 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from clipbench.errors import ResultError
from clipbench.evaluation.options import Progress, ignore_progress
from clipbench.evaluation.progress_bars import in_notebook, progress_bars
from clipbench.results import Results
from clipbench.training.accelerator import start_trackers
from clipbench.training.artifacts import write_artifacts
from clipbench.training.checkpoints import (
    TrainingState,
    checkpoints_in,
    prune,
    read_checkpoint,
    state_tensors,
    sweep,
    write_checkpoint,
)
from clipbench.training.choice import best_so_far, restore_best
from clipbench.training.ema import WeightAverage, trained_weights
from clipbench.training.events import Checkpoint, Clock, StepLog, peak_memory
from clipbench.training.freezing import frozen_modules, training_mode
from clipbench.training.gains import Change
from clipbench.training.gradient_cache import GradientCache
from clipbench.training.learning_rate import learning_rate
from clipbench.training.optimizer import Optimizer, peak_rates
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.training.setup import Note, TrainingSetup, prepare
from clipbench.training.sharding import ShardedModel
from clipbench.training.step_log import PendingStep, StepRecorder


class FineTuning:
    """One fine-tuning run; iterate over ``run`` to train.

    With the same arguments and folder, it resumes from the newest complete checkpoint, and ends with the weights of an
    uninterrupted run (bit-equal on a CPU).

    Args:
        setup: Everything that the run needs; ``prepare`` makes it.
        on_note: Called with messages for the user.

    Attributes:
        setup: Model, data and recipe of the run.
        trained: The model that is trained: the setup's, or its sharded copy.
        optimizer: Updates it.
        is_main: Whether this process writes and reports; the others only compute.
        changes: What the final model gained and lost against the base model; empty before the end, or without tasks.
    """

    def __init__(self, setup: TrainingSetup, on_note: Note = lambda text: None) -> None:
        self.setup, self._on_note = setup, on_note
        self.is_main: bool = setup.accelerator.is_main_process
        self.changes: list[Change] = []
        # What traces the network comes first: a sharded one cannot be run as it is.
        self._frozen = frozen_modules(setup.model, setup.recipe.freeze, setup.recipe.unfreeze_layers)
        rates = peak_rates(setup.model, setup.recipe)
        self._sharded = ShardedModel(setup.model, setup.accelerator) if setup.options.fsdp else None
        self.trained = self._sharded.model if self._sharded else setup.model
        self.optimizer = Optimizer(self.trained, setup.recipe, rates)
        self._average = WeightAverage(self.trained.module, setup.recipe.ema)
        note = on_note if self.is_main else lambda text: None
        self._recorder = StepRecorder(setup, self.trained, self.optimizer.scaler, note)
        self._clock = Clock(0.0, 0, setup.recipe.batch_size)

    @classmethod
    def prepare(
        cls,
        model: object,
        train_data: str,
        recipe: Recipe,
        options: FinetuneOptions,
        output_path: Path,
        on_note: Callable[[str], None] = lambda text: None,
        on_progress: Progress = ignore_progress,
    ) -> FineTuning:
        """Load the model, read the data and decode the images: this may take long the first time.

        Args:
            model: What ``clipbench.load_model`` takes.
            train_data: What is trained on, see ``clipbench.training.datasets.open_training_data``.
            recipe: What is trained.
            options: How it is carried out.
            output_path: The run's folder, which the final model is written to.
            on_note: Called with messages for the user.
            on_progress: Called with the stage, the items done, and the items in all or None.

        Raises:
            UnknownName, ConfigError: An argument is invalid, or the folder holds another run.
            DataError: Data or an image cannot be read.
            ModelError: The model cannot be loaded.
        """
        return cls(prepare(model, train_data, recipe, options, output_path, on_note, on_progress), on_note)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.setup.batches.steps

    def gradient_cache(self) -> GradientCache:
        """What computes the gradients of the run's batches."""
        return GradientCache(
            self.trained,
            self.setup.recipe,
            self.setup.accelerator,
            self.optimizer.scaler,
            image_features=self.setup.image_features,
            sharded=self._sharded,
        )

    def run(self) -> Iterator[StepLog | Checkpoint]:
        """Train, score and write; yields each step and checkpoint.

        Raises:
            ModelError: A loss is not finite; the last checkpoint is kept.
            ResultError: The last checkpoint or the model cannot be written.
            ConfigError: Another process is training in the folder.
        """
        with self.setup.folder.held() if self.is_main else nullcontext():
            self.setup.check_folder()  # another run may have started there in the meantime
            yield from self._run()

    def _run(self) -> Iterator[StepLog | Checkpoint]:
        setup, accelerator = self.setup, self.setup.accelerator
        if setup.options.report_to:
            start_trackers(accelerator, setup.recipe)
        if self.is_main and (results := setup.scores.score(setup.model, 0, setup.model.id)):
            yield Checkpoint(0, None, results)
        state = self._resume()
        self._clock = Clock(state.seconds, state.step, setup.recipe.batch_size)
        self._clock.pause()
        self._update_whole()  # to what was resumed
        if state.step and self.is_main:
            yield Checkpoint(state.step, None, self._score(state.step))
        yield from self._train(state.step)
        if self.is_main:
            self._finish()
        if setup.options.report_to:
            accelerator.end_training()
        accelerator.wait_for_everyone()

    def _resume(self) -> TrainingState:
        """Restore the newest complete checkpoint."""
        folder = self.setup.folder.path
        if self.is_main:
            sweep(folder)
            self.setup.folder.read_log()  # fail on a damaged log now, not at the first checkpoint
        self.setup.accelerator.wait_for_everyone()
        for checkpoint in reversed(checkpoints_in(folder)):
            try:
                state = read_checkpoint(checkpoint, self.trained, self.optimizer.adamw, self._average)
            except ResultError as error:
                self._on_note(f"{error}; trying the previous checkpoint")
                continue
            self.optimizer.scaler.load_state_dict(dict(state.scaler))
            self._on_note(f"resuming from step {state.step} of {self.steps}")
            return state
        return TrainingState(0, 0.0, None, 0.0, {})

    def _train(self, first: int) -> Iterator[StepLog | Checkpoint]:
        setup, recipe, optimizer = self.setup, self.setup.recipe, self.optimizer
        gradients = self.gradient_cache()
        stops = recipe.checkpoint_steps(self.steps, setup.batches.steps_per_epoch)
        pending: PendingStep | None = None
        training_mode(self.trained.module, self._frozen)
        self._clock.resume()
        for step, batch in enumerate(setup.batches.from_step(first), first):
            loss = gradients.backward(batch)
            taken = self._recorder.take(step, loss, gradients.accuracies, batch)
            if pending is not None:  # the step before: reading this one's loss would stall a GPU
                yield self._logged(pending)
            optimizer.step(learning_rate(recipe, step, self.steps))
            self._average.update()
            pending = taken
            if step + 1 in stops:
                yield self._logged(pending)
                pending = None
                self._clock.pause()
                yield from self._save(step + 1)
                training_mode(self.trained.module, self._frozen)
                self._clock.resume()
        self._clock.pause()

    def _logged(self, pending: PendingStep) -> StepLog:
        return self._recorder.log(pending, self._clock.samples_per_second(pending.step + 1))

    def _save(self, step: int) -> Iterator[Checkpoint]:
        """Write a checkpoint and score it. Training continues if one cannot be written, unless it is the last."""
        takes_part = self.is_main or self._sharded
        tensors = state_tensors(self.trained.module, self.optimizer.adamw, self._average) if takes_part else {}
        self._update_whole()
        if self.is_main:
            path: Path | None = None
            try:
                path = self._write(step, tensors)
            except ResultError as error:
                if step == self.steps:
                    raise
                self._on_note(str(error))
            yield Checkpoint(step, path, self._score(step))
        else:
            self._recorder.entries.clear()
        self.setup.accelerator.wait_for_everyone()

    def _update_whole(self) -> None:
        """Give the whole model of a sharded one the weights that are saved and scored."""
        if self._sharded:
            weights = self._average.weights or trained_weights(self.trained.module)
            self._sharded.update_whole(weights, is_main=self.is_main)

    def _saved_weights(self) -> AbstractContextManager[None]:
        """Give the model the weights that are saved and scored, during the block."""
        return nullcontext() if self._sharded else self._average.applied()

    def _write(self, step: int, tensors: Mapping[str, Tensor]) -> Path:
        setup, log = self.setup, self._recorder.entries
        loss = sum(entry["loss"] for entry in log) / len(log) if log else None
        epoch, scaler = step / setup.batches.steps_per_epoch, self.optimizer.scaler.state_dict()
        setup.folder.log(log, step - len(log))
        state = TrainingState(step, epoch, loss, self._clock.seconds, scaler)
        with self._saved_weights():
            path = write_checkpoint(setup.folder.path, setup.model, tensors, state)
        log.clear()  # only now: a failed write leaves the entries to the next checkpoint
        try:
            choice = best_so_far(setup)
            prune(setup.folder.path, setup.options.checkpoints_kept, choice.step if choice else None)
        except ResultError as error:  # the new checkpoint is complete
            self._on_note(f"warning: {error}")
        return path

    def _score(self, step: int) -> Results | None:
        name = f"{self.setup.folder.path.name}/checkpoint-{step:06d}"
        with self._saved_weights():
            return self.setup.scores.score(self.setup.model, step, name)

    def _finish(self) -> None:
        setup = self.setup
        choice = restore_best(setup, self.optimizer.adamw, self._average, self._on_note)
        setup.facts["training"] = {
            "steps": self.steps,
            "processes": setup.accelerator.num_processes,
            "seconds": round(self._clock.seconds, 3),
            "peak_memory_bytes": peak_memory(setup.model.device),
            **({"selected": choice.as_dict()} if choice else {}),
        }
        step = choice.step if choice else self.steps
        self.changes = setup.scores.changes(step)
        setup.facts["changes"] = [change.as_dict() for change in self.changes]
        with self._saved_weights():
            write_artifacts(setup, step, self._on_note)
        setup.folder.write({"status": "finished", **setup.facts})


def finetune(
    model: object,
    train_data: str,
    concepts: str | tuple[str, ...],
    output_path: str | Path,
    *,
    data: Mapping[str, str] | None = None,
    options: FinetuneOptions | None = None,
    progress: bool | None = None,
    **recipe: Any,
) -> Path:
    """Fine-tune a model on captions of concepts, with hard negatives, and write it.

    Args:
        model: What ``clipbench.load_model`` takes.
        train_data: The name of a data set (``coco``, ``scenes``, …), or a file or folder.
        concepts: Names or YAML files.
        output_path: The run's folder, which the final model is written to.
        data: Locations of named data sets, for training and ``eval_tasks``; replaces that of ``options``.
        options: How it is carried out.
        progress: Show a progress bar, in a terminal or a notebook; by default in a notebook only.
        **recipe: Fields of ``Recipe``: ``negatives``, ``learning_rate``, ``epochs``, …

    Returns:
        The folder; ``clipbench.load_model`` takes it.

    Raises:
        UnknownName, ConfigError, DataError, ModelError, ResultError: As ``FineTuning.prepare``
            and ``FineTuning.run``.
    """
    names = (concepts,) if isinstance(concepts, str) else tuple(concepts)
    chosen = options or FinetuneOptions()
    chosen = replace(chosen, data=data) if data is not None else chosen
    with ExitStack() as stack:
        advance: Progress = ignore_progress
        if in_notebook() if progress is None else progress:
            advance = stack.enter_context(progress_bars())
        place = Path(output_path)
        run = FineTuning.prepare(model, train_data, Recipe(names, **recipe), chosen, place, on_progress=advance)
        for event in run.run():
            if isinstance(event, StepLog):
                advance("training", event.step, event.steps)
    return Path(output_path)
