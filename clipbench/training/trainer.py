"""``clipbench finetune``: from a model, data and a recipe to a trained model in a folder (§3 of the paper)."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipbench.errors import ConfigError, ModelError, ResultError, UnknownName
from clipbench.evaluation.options import EvaluationOptions, Progress
from clipbench.evaluation.preparation import PreparedTask, prepare_tasks
from clipbench.results import Results
from clipbench.task_types.registry import select_tasks
from clipbench.training.artifacts import Scores, draw_run, write_card, write_model
from clipbench.training.batches import Batches, Share
from clipbench.training.checkpoints import Moment, checkpoints_in, prune, read_checkpoint, sweep, write_checkpoint
from clipbench.training.datasets import TRAINING_DATASETS, dataset_name
from clipbench.training.freezing import clamp_logit_scale, training_mode, weight_decay_groups
from clipbench.training.gradient_cache import Batch, GradientCache
from clipbench.training.losses import MAX_LOGIT_SCALE
from clipbench.training.options import FinetuneOptions
from clipbench.training.overlap import Overlap, find_overlaps
from clipbench.training.recipe import Recipe
from clipbench.training.run_folder import RunFolder
from clipbench.training.setup import Prepared, _device, prepare, resolve_precision
from clipbench.utils.registry import close_matches

_LONGEST_WAIT = timedelta(hours=12)  # of the other processes, while the first one scores or decodes


@dataclass(frozen=True, slots=True)
class StepLog:
    """An optimiser step.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        epoch: Epochs done, a fraction.
        loss: The step's loss.
        samples_per_second: Pairs a second in this sitting, over all processes.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    samples_per_second: float


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint, and how it scores.

    Attributes:
        step: Steps done; 0 for the base model, which has scores only.
        path: Where it is; None where it could not be written.
        results: Its scores; None where no tasks were named.
    """

    step: int
    path: Path | None
    results: Results | None


class FineTuning:
    """One run: made ready when constructed, done by iterating over :meth:`run`.

    Started again with the same arguments and folder it goes on from the newest whole checkpoint, and ends with the
    weights that it would have ended with otherwise (to the bit on a CPU).

    Args:
        model: What :func:`clipbench.load_model` takes.
        train_data: What is trained on, see :func:`clipbench.training.datasets.open_training_data`.
        recipe: What is done.
        options: How it is done.
        output_path: The run's folder, which in the end is the model's.
        on_note: Told what a user should know, a line each.
        on_progress: Told what is being made ready, how much is done, and how much there is where that is known.

    Attributes:
        is_main: This process writes and reports; others only compute.

    Raises:
        UnknownName, ConfigError: An argument makes no sense, or the folder holds another run.
        DataError: Data or an image cannot be read.
        ModelError: The model cannot be loaded.
    """

    def __init__(
        self,
        model: object,
        train_data: str,
        recipe: Recipe,
        options: FinetuneOptions,
        output_path: Path,
        on_note: Callable[[str], None] = lambda text: None,
        on_progress: Progress = lambda name, done, total: None,
    ) -> None:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs

        _check_trackers(options.report_to)
        self._accelerator = Accelerator(
            cpu=options.device == "cpu",
            log_with=list(options.report_to) or None,
            project_dir=str(output_path),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
        )
        self.is_main: bool = self._accelerator.is_main_process
        self._options, self._on_note, self._train_data = options, on_note, train_data
        self._recipe = recipe = resolve_precision(recipe, torch.device(_device(options, self._accelerator)))
        self._folder = RunFolder(output_path)
        tasks, places = list[PreparedTask](), _evaluation_data(train_data, options)
        evaluation = EvaluationOptions(data=places, limit=options.eval_limit, workers=options.workers)
        if options.eval_tasks and self.is_main:
            tasks = prepare_tasks(options.eval_tasks, evaluation, on_progress)
        self._scores = Scores(output_path, tasks, evaluation, on_progress)
        self._prepared = prepare(
            model, train_data, recipe, options, self._folder, self._accelerator, on_note, on_progress
        )
        share = Share(self._accelerator.process_index, self._accelerator.num_processes, options.micro_batch_size)
        prepared = self._prepared
        self._batches = Batches(prepared.model, prepared.pairs, prepared.images, recipe, share)
        self._overlaps: list[Overlap] = []
        if tasks:
            self._overlaps = find_overlaps(
                prepared.pairs.images, tasks, workers=options.workers, on_progress=on_progress
            )
            for overlap in self._overlaps:
                on_note(f"warning: {overlap}")
        self._claim()

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self._batches.steps

    @property
    def prepared(self) -> Prepared:
        """Model and data of the run."""
        return self._prepared

    def _claim(self) -> None:
        """Refuse a folder of another run; make this one's where it is new."""
        identity = self._prepared.identity(self._recipe)
        self._folder.check(identity)
        model, pairs = self._prepared.model, self._prepared.pairs
        self._facts: dict[str, Any] = {
            **identity,
            "model": {"id": model.id, **identity["model"], "facts": model.info.to_dict()},
            "data": {
                "written": self._train_data,
                **identity["data"],
                "images": len(pairs.images),
                "left_out": pairs.left_out,
                "revision": pairs.provenance.revision,
            },
            "overlaps": [str(overlap) for overlap in self._overlaps],
            "versions": {name: metadata.version(name) for name in ("clipbench", "torch", "transformers", "accelerate")},
        }
        if self.is_main and not self._folder.facts():
            self._folder.write({"status": "running", **self._facts})
        self._accelerator.wait_for_everyone()

    def run(self) -> Iterator[StepLog | Saved]:
        """Train, score and write; yields what was done.

        Raises:
            ModelError: A loss is not finite; the last checkpoint is kept.
            ResultError: The last checkpoint or the model cannot be written.
        """
        model, recipe = self._prepared.model, self._recipe
        if self._options.report_to:
            self._accelerator.init_trackers("clipbench", config=_flat(recipe.as_dict()))
        if self.is_main and (results := self._scores.of(model, 0, model.id)):
            yield Saved(0, None, results)
        optimizer = torch.optim.AdamW(
            weight_decay_groups(model, recipe.weight_decay),
            lr=recipe.learning_rate,
            fused=model.device.type in ("cpu", "cuda"),
        )
        scaler = torch.amp.GradScaler(model.device.type, enabled=recipe.precision == "fp16")
        moment = self._resume(optimizer, scaler)
        self._seconds = moment.seconds
        if moment.step and self.is_main:
            yield Saved(moment.step, None, self._scores.of(model, moment.step, self._name(moment.step)))
        yield from self._train(optimizer, scaler, moment)
        if self.is_main:
            self._finish()
        if self._options.report_to:
            self._accelerator.end_training()
        self._accelerator.wait_for_everyone()

    def _resume(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> Moment:
        """Go back to the newest checkpoint that is whole."""
        if self.is_main:
            sweep(self._folder.path)
        self._accelerator.wait_for_everyone()
        for checkpoint in reversed(checkpoints_in(self._folder.path)):
            try:
                moment = read_checkpoint(checkpoint, self._prepared.model, optimizer)
            except ResultError as error:
                self._on_note(f"{error}; going back to the one before")
                continue
            scaler.load_state_dict(dict(moment.scaler))
            self._on_note(f"going on from step {moment.step} of {self.steps}")
            return moment
        return Moment(0, 0.0, None, 0.0, {})

    def _train(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, moment: Moment
    ) -> Iterator[StepLog | Saved]:
        model, recipe = self._prepared.model, self._recipe
        stepper = GradientCache(model, recipe, self._accelerator, scaler, image_features=self._prepared.image_features)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        clock = _Clock(moment, recipe.batch_size)
        stops = recipe.checkpoint_steps(self.steps, self._batches.steps_per_epoch)
        waiting: tuple[int, Tensor, Batch] | None = None
        log: list[dict[str, Any]] = []
        training_mode(model, recipe.freeze)
        for step, batch in enumerate(self._batches.from_step(moment.step), moment.step):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step, self.steps)
            loss = stepper.backward(batch)
            if waiting is not None:  # the loss of the step before: looking at this one's would stall a GPU
                yield self._look_at(*waiting, log, clock)
            if recipe.max_grad_norm is not None:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(weights, recipe.max_grad_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            clamp_logit_scale(model, MAX_LOGIT_SCALE)
            waiting = (step, loss, batch)
            if step + 1 in stops:
                yield self._look_at(*waiting, log, clock)
                waiting = None
                clock.pause()
                yield from self._save(optimizer, scaler, step + 1, clock, log)
                training_mode(model, recipe.freeze)
                clock.go_on()

    def _look_at(self, step: int, loss: Tensor, batch: Batch, log: list[dict[str, Any]], clock: _Clock) -> StepLog:
        value, epoch = float(loss), (step + 1) / self._batches.steps_per_epoch
        if not math.isfinite(value):
            raise ModelError(
                f"the loss of step {step + 1} is {value} (batch {', '.join(batch.ids[:8])}, …): the last checkpoint is"
                " kept; a lower learning_rate or precision bf16 may help"
            )
        rate = self._recipe.rate_at(step, self.steps)
        log.append({"step": step + 1, "epoch": round(epoch, 6), "loss": value, "learning_rate": rate})
        if self._options.report_to:
            self._accelerator.log({"loss": value, "learning_rate": rate, "epoch": epoch}, step=step + 1)
        return StepLog(step + 1, self.steps, epoch, value, clock.samples_per_second(step + 1))

    def _save(
        self,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        step: int,
        clock: _Clock,
        log: list[dict[str, Any]],
    ) -> Iterator[Saved]:
        """Write a checkpoint and score it. One that cannot be written is said, and training goes on; not the last."""
        if self.is_main:
            loss = sum(entry["loss"] for entry in log) / len(log) if log else None
            epoch = step / self._batches.steps_per_epoch
            moment = Moment(step, epoch, loss, clock.seconds, scaler.state_dict())
            self._seconds = clock.seconds
            place: Path | None = None
            try:
                self._folder.log(log, step - len(log))
                place = write_checkpoint(self._folder.path, self._prepared.model, optimizer, moment)
                log.clear()  # not before: what could not be written goes into the next one
                prune(self._folder.path, self._options.keep)
            except ResultError as error:
                if step == self.steps:
                    raise
                self._on_note(str(error))
            yield Saved(step, place, self._scores.of(self._prepared.model, step, self._name(step)))
        else:
            log.clear()
        self._accelerator.wait_for_everyone()

    def _name(self, step: int) -> str:
        return f"{self._folder.path.name}/checkpoint-{step:06d}"

    def _finish(self) -> None:
        model, folder = self._prepared.model, self._folder
        model.module.eval()
        other_format = None
        try:
            other_format = write_model(model, folder.path).name
        except ModelError as error:
            self._on_note(f"the model is there in its own library's format only: {error}")
        scores = self._scores.all()
        draw_run(scores, folder.path, folder.path.name)
        self._facts["training"] = {
            "steps": self.steps,
            "processes": self._accelerator.num_processes,
            "seconds": round(self._seconds, 3),
            "peak_memory_bytes": _peak_memory(model.device),
        }
        provenance = self._prepared.pairs.provenance
        hub = [provenance.location] if provenance.layout == "hub" else []
        write_card(folder.path, self._facts, self._prepared.concepts, hub, scores, other_format)
        folder.write({"status": "finished", **self._facts})


class _Clock:
    """Time spent on training: this sitting's and those before."""

    def __init__(self, moment: Moment, batch_size: int) -> None:
        self._before, self._first, self._batch_size = moment.seconds, moment.step, batch_size
        self._spent, self._since = 0.0, time.perf_counter()

    @property
    def _sitting(self) -> float:
        return self._spent + (time.perf_counter() - self._since if self._since else 0.0)

    @property
    def seconds(self) -> float:
        return self._before + self._sitting

    def samples_per_second(self, step: int) -> float:
        return (step - self._first) * self._batch_size / max(self._sitting, 1e-9)

    def pause(self) -> None:
        self._spent, self._since = self._sitting, 0.0

    def go_on(self) -> None:
        self._since = time.perf_counter()


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _evaluation_data(train_data: str, options: FinetuneOptions) -> dict[str, str]:
    """The places of data that the tasks read; a name that neither they nor the training data have is refused."""
    read = {task.dataset.name for task in select_tasks(options.eval_tasks)} if options.eval_tasks else set()
    known = read | ({dataset_name(train_data)} & TRAINING_DATASETS.keys())
    for name in options.data:
        if name not in known:
            listed = ", ".join(sorted(known)) or "no named data set"
            raise UnknownName(f"data {name}: not read by this run{close_matches(name, known)}; it reads {listed}")
    return {name: place for name, place in options.data.items() if name in read}


def _check_trackers(names: Sequence[str]) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known, there = list(LOGGER_TYPE_TO_CLASS), [str(tracker) for tracker in get_available_trackers()]
    for name in names:  # accelerate itself leaves one that is not there out without a word
        if name not in known:
            raise ConfigError(f"report_to {name}{close_matches(name, known)}: trackers are {', '.join(known)}")
        if name not in there:
            raise ConfigError(f"report_to {name}: it is not installed: pip install {name}")


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    # Trackers take numbers and texts only.
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in values.items()}


def finetune(
    model: object,
    train_data: str,
    concepts: str | tuple[str, ...],
    output_path: str | Path,
    *,
    data: Mapping[str, str] | None = None,
    options: FinetuneOptions | None = None,
    **recipe: Any,
) -> Path:
    """Train a model on captions of concepts, with hard negatives, and write it.

    Args:
        model: What :func:`clipbench.load_model` takes.
        train_data: The name of a data set (``coco``, ``scenes``, …), or a file or folder.
        concepts: Names or YAML files.
        output_path: The run's folder, which in the end is the model's.
        data: Where named data sets lie, for training and for ``eval_tasks``; instead of the options' own.
        options: How it is done.
        **recipe: Fields of :class:`Recipe`: ``negatives``, ``learning_rate``, ``epochs``, …

    Returns:
        The folder; :func:`clipbench.load_model` takes it.

    Raises:
        UnknownName, ConfigError, DataError, ModelError, ResultError: As :class:`FineTuning`.
    """
    names = (concepts,) if isinstance(concepts, str) else tuple(concepts)
    chosen = options or FinetuneOptions()
    chosen = replace(chosen, data=data) if data is not None else chosen
    for _ in FineTuning(model, train_data, Recipe(names, **recipe), chosen, Path(output_path)).run():
        pass
    return Path(output_path)
