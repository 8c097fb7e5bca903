"""Doing a study's runs: each one's training, and the scores of its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipbench.errors import ClipbenchError, DataError, ModelError, ResultError
from clipbench.evaluation.options import Progress
from clipbench.reproduce.folder import StudyFolder, Trained
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.schedule import Run, digest, is_whole, tasks_at, training_inputs
from clipbench.reproduce.scoring import StudyScorer, plan_scores
from clipbench.reproduce.study import Study
from clipbench.reproduce.training import train
from clipbench.training.checkpoints import drop_checkpoints
from clipbench.training.datasets import open_training_data, training_concepts
from clipbench.training.overlap import Overlap, find_overlaps
from clipbench.training.pairs import gather_pairs
from clipbench.utils.text import format_error

if TYPE_CHECKING:
    from pathlib import Path

    from clipbench.models import Model


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened.

    Attributes:
        run: To which run.
        text: What, in a line.
        failed: It is a failure.
    """

    run: str
    text: str
    failed: bool = False


class Workshop:
    """Does runs of a study, one after another.

    Args:
        study: The study.
        folder: Its folder, claimed.
        options: How it is done.
        on_progress: Told how far going through data and scoring are.
    """

    def __init__(self, study: Study, folder: StudyFolder, options: StudyOptions, on_progress: Progress) -> None:
        self._study, self._folder, self._options = study, folder, options
        self._scorer = StudyScorer(study, folder, options, on_progress)
        self._base: tuple[str, Model] | None = None
        self._data: str | None = None

    def do(self, runs: Sequence[Run]) -> Iterator[Told]:
        """Do runs, those that other processes are at last, so that several workshops may share a study.

        Yields:
            What happened. A run that failed is told, and the others go on.

        Raises:
            ResultError: What was done cannot be written.
        """
        others: list[Run] = []
        began = time.time()
        for run in runs:
            if self._folder.attempted_since(run, began):
                continue  # by another process, well or not: it is not tried again
            with self._folder.at_work(run) as lock:
                if lock is None:
                    others.append(run)
                else:
                    yield from self._do(run, lock)
        for run in others:
            yield from self._do_after_others(run, began)

    def _do_after_others(self, run: Run, began: float) -> Iterator[Told]:
        """Do what another process was at and was killed at."""
        if self._folder.attempted_since(run, began):
            return
        yield Told(run.name, "waiting: another process is at it")
        with self._folder.at_work(run, wait=True) as lock:
            if lock is not None and not self._folder.attempted_since(run, began):
                yield from self._do(run, lock)

    def _do(self, run: Run, lock: int) -> Iterator[Told]:
        try:
            if run.is_base:
                model = self._load_base(run)
                identity = {"base_model": run.base_model, "fingerprint": model.fingerprint}
                yield from self._score(run, 0, 0.0, model, identity)
                return
            trained = yield from self._train(run, lock)
            if trained is None:
                return
            for step, epoch in trained.checkpoints:
                checkpoint = self._folder.model(run) / f"checkpoint-{step:06d}"
                yield from self._score(run, step, epoch, checkpoint, {"training": trained.hash, "step": step})
            self._drop_between(run, trained)
        except ResultError:
            raise
        except Exception as error:  # a plugin's model or task may raise anything; the other runs go on
            yield Told(run.name, format_error(error), failed=True)

    def _load_base(self, run: Run) -> Model:
        if self._base is None or self._base[0] != run.base_model:
            from clipbench.models import load_model

            self._base = run.base_model, load_model(run.base_model, device=self._options.device)
        return self._base[1]

    def _train(self, run: Run, lock: int) -> Generator[Told, None, Trained | None]:
        """Train what is not trained yet; returns how it went, None where it failed."""
        there = self._folder.trained(run)
        is_finished = there is not None and there.status == "finished"
        try:
            base = self._load_base(run)
            self._data = (
                self._data or open_training_data(self._study.training.data, self._options.data).provenance.fingerprint
            )
        except ClipbenchError as error:
            if not is_finished:
                failed = Trained(hash="", inputs={}, status="failed", command="", error=str(error))
                self._folder.write_trained(run, failed)
            raise
        inputs = training_inputs(self._study, run, self._data)
        if there and is_finished and there.hash == digest(inputs) and there.model["fingerprint"] == base.fingerprint:
            return there
        yield Told(run.name, f"training; {self._folder.log(run)} says how far it is")
        trained = train(self._study, run, self._folder, self._options, inputs, lock)
        if not (trained.error and is_finished):  # a model that is there is not lost to a failure
            self._folder.write_trained(run, trained)
        if trained.error:
            yield Told(run.name, trained.error, failed=True)
            return None
        rate = f"{trained.samples_per_second or 0:,.0f} captions/s"
        yield Told(run.name, f"trained in {trained.seconds or 0:,.0f} s, {rate}")
        return trained

    def _score(
        self, run: Run, step: int, epoch: float, model: Model | Path, identity: Mapping[str, object]
    ) -> Iterator[Told]:
        started, scored = time.perf_counter(), []
        what = f"epoch {epoch:.2g}" if step else "the base model"
        try:
            for result in self._scorer.score(run, step, epoch, model, identity):
                if result.error:
                    yield Told(run.name, result.error, failed=True)
                else:
                    scored.append(result.task.name)
        except ModelError as error:  # one checkpoint is gone or broken; the others are scored
            yield Told(run.name, f"{what}: {error}", failed=True)
        if scored:
            yield Told(run.name, f"{what}: scored on {', '.join(scored)} in {time.perf_counter() - started:,.0f} s")

    def _drop_between(self, run: Run, trained: Trained) -> None:
        """Remove checkpoints between epochs once they are scored: thirty of a large model would fill a disk."""
        between = {step: epoch for step, epoch in trained.checkpoints if not is_whole(epoch)}
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


def _find_overlaps(study: Study, options: StudyOptions, on_progress: Progress) -> list[Overlap]:
    training, refs = study.training, {}
    with suppress(DataError):  # each training says it
        source = open_training_data(training.data, options.data)
        for concept in training_concepts(training.data, training.concepts):
            pairs = gather_pairs(source, (concept,), allow_missing=True, limit=training.limit)
            refs.update({ref.key: ref for ref in pairs.images})
    plans = plan_scores(study, options, on_progress)
    return find_overlaps(list(refs.values()), plans, workers=options.workers, on_progress=on_progress)
