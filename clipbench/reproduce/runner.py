"""A study's runs: each trains a model and scores its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.errors import ClipbenchError, DataError, ModelError, ResultError
from clipbench.evaluation.options import Progress
from clipbench.reproduce.folder import StudyFolder, TrainingRecord
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.scoring import StudyScorer, plan_scores
from clipbench.reproduce.steps import Run, is_whole, tasks_at, training_inputs
from clipbench.reproduce.study import Study
from clipbench.reproduce.training import train
from clipbench.training.checkpoints import drop_checkpoints
from clipbench.training.datasets import open_training_data, training_concepts
from clipbench.training.gathering import gather_pairs
from clipbench.training.mixing import data_fingerprint, joined, read_mix
from clipbench.training.options import FinetuneOptions
from clipbench.training.overlap import Overlap, find_overlaps
from clipbench.training.pairs import TrainingPairs
from clipbench.utils.digest import digest
from clipbench.utils.text import format_error

if TYPE_CHECKING:
    from pathlib import Path

    from clipbench.concepts import Concept
    from clipbench.models import Model


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Progress of a study.

    Attributes:
        run: Name of the run.
        text: What happened, in one line.
        failed: It is a failure.
    """

    run: str
    text: str
    failed: bool = False


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
        self._data: str | None = None

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
                        yield from self._run(run)

    def _run(self, run: Run) -> Iterator[RunEvent]:
        try:
            if run.is_base:
                model = self._load_base(run)
                identity = {"base_model": run.base_model, "fingerprint": model.fingerprint}
                yield from self._score(run, 0, 0.0, model, identity)
                return
            record = yield from self._train(run)
            if record is None:
                return
            for step, epoch in record.checkpoints:
                checkpoint = self._folder.model(run) / f"checkpoint-{step:06d}"
                yield from self._score(run, step, epoch, checkpoint, {"training": record.hash, "step": step})
            self._drop_between(run, record)
        except ResultError:
            raise
        except Exception as error:  # a plugin's model or task may raise anything; the other runs go on
            yield RunEvent(run.name, format_error(error), failed=True)

    def _load_base(self, run: Run) -> Model:
        if self._base is None or self._base[0] != run.base_model:
            from clipbench.models import load_model

            self._base = run.base_model, load_model(run.base_model, device=self._options.device)
        return self._base[1]

    def _train(self, run: Run) -> Generator[RunEvent, None, TrainingRecord | None]:
        """Train what is not trained yet; returns how it went, None if it failed."""
        before = self._folder.training(run)
        is_finished = before is not None and before.is_finished
        try:
            base = self._load_base(run)
            training = self._study.training
            places = training.places(self._options.data)
            self._data = self._data or data_fingerprint(training.data, training.recipe.get("mix", {}), places)
        except ClipbenchError as error:
            if not is_finished:
                self._folder.write_training(run, TrainingRecord(status="failed", error=str(error)))
            raise
        inputs = training_inputs(self._study, run, self._data)
        same = before is not None and (before.hash, before.model.get("fingerprint")) == (
            digest(inputs),
            base.fingerprint,
        )
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
            "training": [training.data, training.limit, training.concepts],
            "tasks": study.tasks(options.tables),
            "data": dict(options.data),
        }
    )
    known, warnings = folder.overlaps()
    if known != of:
        warnings = [str(overlap) for overlap in _find_overlaps(study, options, on_progress)]
        folder.write_overlaps(of, warnings)
    return warnings


def _mix(study: Study, concept: Concept, options: StudyOptions) -> dict[str, TrainingPairs]:
    """What a study's trainings on a concept have beside its captions."""
    training = study.training
    recipe = training.recipe_of(concept.name, min(training.negatives), 0)
    how = FinetuneOptions(training.places(options.data), allow_missing=True, limit=training.limit)
    return read_mix(training.data, (concept,), recipe, how)


def _find_overlaps(study: Study, options: StudyOptions, on_progress: Progress) -> list[Overlap]:
    training, refs = study.training, {}
    with suppress(DataError):  # each training says it
        source = open_training_data(training.data, training.places(options.data))
        for concept in training_concepts(training.data, training.concepts):
            pairs = gather_pairs(source, (concept,), allow_missing=True, limit=training.limit)
            pairs = joined(pairs, _mix(study, concept, options))
            refs.update({ref.key: ref for ref in pairs.images})
    plans = plan_scores(study, options, on_progress)
    return find_overlaps(list(refs.values()), plans, workers=options.workers, on_progress=on_progress)
