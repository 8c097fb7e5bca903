"""A study's runs: each trains a model and scores its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.errors import ClipbenchError, DataError, ModelError, ResultError
from clipbench.evaluation.options import Progress
from clipbench.reproduce.folder import StudyFolder, TrainingRecord
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.scoring import StudyScorer, plan_scores
from clipbench.reproduce.steps import Run, base_run, is_trained, is_whole, recipe_of, tasks_at, training_inputs
from clipbench.reproduce.study import Study
from clipbench.reproduce.training import train
from clipbench.training.checkpoints import drop_checkpoints
from clipbench.training.datasets import open_training_data, training_concepts
from clipbench.training.gathering import gather_captions, gather_pairs
from clipbench.training.mixing import data_fingerprint, joined, read_mix
from clipbench.training.options import FinetuneOptions
from clipbench.training.overlap import Overlap, find_overlaps
from clipbench.training.pairs import TrainingPairs
from clipbench.utils.digest import digest
from clipbench.utils.text import format_error

if TYPE_CHECKING:
    from pathlib import Path

    from clipbench.models import Model


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Progress of a study.

    Attributes:
        run: Name of the run.
        text: What happened, in one line; empty if nothing but the end of the run.
        failed: It is a failure.
        ended: Nothing more of this run is to come.
    """

    run: str
    text: str = ""
    failed: bool = False
    ended: bool = False


class StudyRunner:
    """Trains and scores the runs of a study, one after another.

    Args:
        study: The study.
        folder: Its folder, claimed.
        options: How the study is carried out.
        on_progress: Called with the progress of reading data and scoring.
    """

    def __init__(self, study: Study, folder: StudyFolder, options: StudyOptions, on_progress: Progress) -> None:
        self._study, self._folder, self._options = study, folder, options
        self._scorer = StudyScorer(study, folder, options, on_progress)
        self._base: tuple[str, Model] | None = None
        self._data: dict[tuple[str, ...], str] = {}
        self._held = ""  # the run that this process works on

    def run(self, runs: Sequence[Run]) -> Iterator[RunEvent]:
        """Do runs; several processes may share a study: runs that others work on come last.

        Yields:
            What happened. After a run that failed, the others go on.

        Raises:
            ResultError: Something cannot be written.
        """
        busy: list[Run] = []
        started = time.time()
        for wait, waiting in ((False, runs), (True, busy)):
            for run in waiting:
                if self._folder.attempted_since(run, started):
                    continue  # by another process: a failure would only repeat
                if wait:
                    yield RunEvent(run.name, "waiting: another process is working on it")
                with self._folder.hold(run, wait=wait) as is_ours:
                    if not is_ours:
                        busy.append(run)
                    elif not self._folder.attempted_since(run, started):
                        self._held = run.name
                        yield from self._run(run)
                        yield RunEvent(run.name, ended=True)
                        self._held = ""

    def _run(self, run: Run) -> Iterator[RunEvent]:
        try:
            if run.is_base:
                yield from self._run_base(run)
            elif run.is_interpolated:
                yield from self._run_interpolated(run)
            elif record := (yield from self._trained(run)):
                for step, epoch in record.checkpoints:
                    checkpoint = self._folder.model(run) / f"checkpoint-{step:06d}"
                    yield from self._score(run, step, epoch, checkpoint, {"training": record.hash, "step": step})
                self._drop_between(run, record)
        except ResultError:
            raise
        except Exception as error:  # a plugin's model or task may raise anything; the other runs go on
            yield RunEvent(run.name, format_error(error), failed=True)

    def _run_base(self, run: Run) -> Iterator[RunEvent]:
        model = yield from self._base_model(run)
        if model is not None:
            identity = {"base_model": run.base_model, "fingerprint": model.fingerprint}
            yield from self._score(run, 0, 0.0, model, identity)

    def _run_interpolated(self, run: Run) -> Iterator[RunEvent]:
        """Score weights between the base model's and those of a finished training."""
        from clipbench.training.interpolation import interpolate

        base, record = (yield from self._base_model(run)), (yield from self._trained(run.finetuned))
        if base is None or record is None:
            return
        step, epoch = record.checkpoints[-1]
        identity = {"training": record.hash, "step": step, "alpha": run.kind.alpha}
        if not self._scorer.is_waiting(run, step, epoch, identity):
            return
        for _, model in interpolate(base, self._load(run.finetuned), [run.kind.alpha]):
            yield from self._score(run, step, epoch, model, identity)

    def _base_model(self, run: Run) -> Generator[RunEvent, None, Model | None]:
        """The model that a run starts from, trained first if the study says so; None if that failed."""
        if self._base is None or self._base[0] != run.base_model:
            base = base_run(self._study, run)
            if is_trained(self._study, base) and (yield from self._trained(base)) is None:
                return None
            self._base = run.base_model, self._load(base)
        return self._base[1]

    def _load(self, run: Run) -> Model:
        """The final model of a run."""
        from clipbench.models import load_model

        study, device = self._study, self._options.device
        if is_trained(study, run):
            return load_model(str(self._folder.model(run)), device=device)
        return load_model(run.base_model, model_args=study.model_args, device=device)

    def _trained(self, run: Run) -> Generator[RunEvent, None, TrainingRecord | None]:
        """The record of a run's training, which is done now unless it is done already; None if it failed.

        Other runs may need it while another process is at it, so that it is held until then.
        """
        with ExitStack() as held:
            if run.name != self._held:
                held.enter_context(self._folder.hold(run, wait=True, attempt=False))
            return (yield from self._train(run))

    def _train(self, run: Run) -> Generator[RunEvent, None, TrainingRecord | None]:
        """Train what is not trained yet; returns how it went, None if it failed."""
        before = self._folder.training(run)
        is_finished = before is not None and before.is_finished
        try:
            start = self._load_start(run) if run.is_base else (yield from self._base_model(run))
            if start is None:
                raise ModelError(f"{run.base_model}: the base model could not be trained")
            inputs, fingerprint = training_inputs(self._study, run, self._data_of(run)), start.fingerprint
        except ClipbenchError as error:
            if not is_finished:
                self._folder.write_training(run, TrainingRecord(status="failed", error=str(error)))
            raise
        same = before is not None and (before.hash, before.model.get("fingerprint")) == (digest(inputs), fingerprint)
        if is_finished and same:
            return before
        yield RunEvent(run.name, f"training; progress in {self._folder.log(run)}")
        record = train(self._study, run, self._folder, self._options, inputs)
        if not (record.error and is_finished):  # a failure must not hide a finished model
            self._folder.write_training(run, record)
        if record.error:
            yield RunEvent(run.name, record.error, failed=True)
            return None
        rate = f"{record.samples_per_second or 0:,.0f} captions/s"
        yield RunEvent(run.name, f"trained in {record.seconds or 0:,.0f} s, {rate}")
        return record

    def _load_start(self, run: Run) -> Model:
        """What the training of a base model starts from."""
        from clipbench.models import load_model

        return load_model(run.base_model, model_args=self._study.model_args, device=self._options.device)

    def _data_of(self, run: Run) -> str:
        """Fingerprint of what a run is trained on."""
        base = self._study.base_training if run.is_base else None
        name, mixed = base.data if base else self._study.training.data, recipe_of(self._study, run).mix
        key = (name, *mixed)
        if key not in self._data:
            self._data[key] = data_fingerprint(name, mixed, self._study.places(self._options.data))
        return self._data[key]

    def _score(
        self, run: Run, step: int, epoch: float, model: Model | Path, identity: Mapping[str, object]
    ) -> Iterator[RunEvent]:
        started, scored = time.perf_counter(), []
        what = f"epoch {epoch:.2g}" if step else "the base model"
        try:
            for result in self._scorer.score(run, step, epoch, model, identity):
                if result.error:
                    yield RunEvent(run.name, result.error, failed=True)
                else:
                    scored.append(result.task.name)
        except ModelError as error:  # this checkpoint is missing or broken; the others are scored
            yield RunEvent(run.name, f"{what}: {error}", failed=True)
        if scored:
            yield RunEvent(run.name, f"{what}: scored on {', '.join(scored)} in {time.perf_counter() - started:,.0f} s")

    def _drop_between(self, run: Run, record: TrainingRecord) -> None:
        """Remove checkpoints between epochs once they are scored: thirty of a large model would fill a disk."""
        between = {step: epoch for step, epoch in record.checkpoints if not is_whole(epoch)}
        wanted = ((step, task) for step, epoch in between.items() for task in tasks_at(self._study, run, epoch))
        if all(self._folder.is_scored(run, step, task) for step, task in wanted):
            drop_checkpoints(self._folder.model(run), between.keys())


def overlap_warnings(study: Study, folder: StudyFolder, options: StudyOptions, on_progress: Progress) -> list[str]:
    """Warn of tasks whose images are among those that are trained on; looked for once, and kept in the folder.

    Raises:
        UnknownName, ConfigError: The study names tasks or data that are not there.
        ResultError: They cannot be written.
    """
    training = study.training
    of = digest(
        {
            "training": [training.data, training.limit, training.concepts, training.mixed],
            "base training": study.base_training and study.base_training.data,
            "tasks": study.tasks(options.tables),
            "data": dict(options.data),
        }
    )
    known, warnings = folder.overlaps()
    if known != of:
        warnings = [str(overlap) for overlap in _find_overlaps(study, options, on_progress)]
        folder.write_overlaps(of, warnings)
    return warnings


def _find_overlaps(study: Study, options: StudyOptions, on_progress: Progress) -> list[Overlap]:
    refs = {ref.key: ref for pairs in _trained_on(study, options) for ref in pairs.images}
    plans = plan_scores(study, options, on_progress)
    return find_overlaps(list(refs.values()), plans, workers=options.workers, on_progress=on_progress)


def _trained_on(study: Study, options: StudyOptions) -> Iterator[TrainingPairs]:
    """All that a study trains on; data that cannot be read is left out, as each training says so."""
    training, places = study.training, study.places(options.data)
    how = FinetuneOptions(training.places(options.data), allow_missing=True, limit=training.limit)
    with suppress(DataError):
        source = open_training_data(training.data, how.data)
        for concept in training_concepts(training.data, training.concepts):
            own = gather_pairs(source, (concept,), allow_missing=True, limit=training.limit)
            for method in ("", *training.methods):
                recipe = training.recipe_of(concept.name, 1 if method else min(training.negatives), 0, method)
                yield joined(own, read_mix(training.data, (concept,), recipe, how))
    if base := study.base_training:
        with suppress(DataError):
            yield gather_captions(open_training_data(base.data, places), allow_missing=True)
