"""The one evaluation loop: prepared tasks and a model in, results out, resumable and spread over processes.

The command line, ``clipbench.evaluate``, training, interpolation and studies all score through it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from clipbench.errors import ConfigError, ModelError, ResultError
from clipbench.evaluation.assembly import assemble_results
from clipbench.evaluation.identity import run_identity
from clipbench.evaluation.options import EvaluationOptions, OnEncoded, Progress, ignore_encoded, ignore_progress
from clipbench.evaluation.preparation import PreparedTask, without_images
from clipbench.evaluation.task_scoring import SampleSink, score_tasks
from clipbench.evaluation.task_totals import TaskTotals
from clipbench.inference.journal import Journal
from clipbench.inference.scorer import Scorer
from clipbench.results import Interpolation, Results, ResultsDirectory
from clipbench.types import SampleResult
from clipbench.utils.distributed import Processes

if TYPE_CHECKING:
    from clipbench.inference.images import ImageFeatures
    from clipbench.models import Model


@dataclass
class EvaluationRun:
    """Scores one model on prepared tasks: iterate for each task's numbers, or call ``run``.

    Args:
        model: The model, in evaluation mode.
        tasks: The tasks with their data.
        options: How they are scored.
        name: What the results call the model; by default its id.
        directory: Where results are written after each task, and the journal that lets an unfinished run resume;
            None writes nothing. With several processes the main one alone has it.
        log_samples: Also write every sample's texts and scores.
        resume: Resume an unfinished run of the same identity in ``directory``; otherwise start over.
        profile: Report in the results where the time went.
        config: Further entries of the results' ``config``.
        interpolation: Identity of an interpolated model, for the results.
        processes: The processes that share the work. All get all results.
        image_features: Image features of a model with the same image encoder, by sources that are still open; they
            are used and added to.
        on_progress: Called with a task's name, samples done, and samples in all if known.
        on_encoded: Called with the images and the texts that were encoded so far.
        on_note: Called with one line that a user may want to know: resumed, not cacheable, …
        on_sample: Called with a task's name and each of its sample results.
        open_log: Opens a log elsewhere for a task's samples; it is left by an exception where the task fails.

    Attributes:
        results: The results so far; None before the first task is done.
        write_error: Why the latest results could not be written; the run goes on without.
        sample_errors: The errors of tasks whose samples could not be logged.
    """

    model: Model
    tasks: Sequence[PreparedTask]
    options: EvaluationOptions
    name: str | None = None
    directory: ResultsDirectory | None = None
    log_samples: bool = False
    resume: bool = True
    profile: bool = False
    config: Mapping[str, object] = field(default_factory=dict)
    interpolation: Interpolation | None = None
    processes: Processes = field(default_factory=Processes)
    image_features: ImageFeatures | None = None
    on_progress: Progress = ignore_progress
    on_encoded: OnEncoded = ignore_encoded
    on_note: Callable[[str], None] = lambda text: None
    on_sample: Callable[[str, SampleResult], None] | None = None
    open_log: Callable[[str], AbstractContextManager[SampleSink]] | None = None
    results: Results | None = field(default=None, init=False)
    write_error: ResultError | None = field(default=None, init=False)
    sample_errors: list[ResultError] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not self.model.opens_images:
            blind = self.model.text_only
            self.tasks = [without_images(prepared, self.options, blind=blind) for prepared in self.tasks]

    def run(self) -> Results:
        """Score all tasks.

        Returns:
            The results. A task that failed has its ``error`` set; the others have their numbers.

        Raises:
            ResultError: The results or samples could not be written. Running again resumes at the end.
        """
        for _ in self:
            pass
        for error in filter(None, [self.write_error, *self.sample_errors]):
            raise error
        if self.results is None:
            raise ConfigError("no task to score")
        return self.results

    def __iter__(self) -> Iterator[TaskTotals]:
        """Score task by task, and write the results after each."""
        done: list[TaskTotals] = []
        with self._journal() as journal:
            started = journal.started if journal else datetime.now()
            with self._scorer(journal) as scorer:
                try:
                    for totals in score_tasks(
                        self.tasks, scorer, self.options, self._sink, self.on_progress, self.on_encoded
                    ):
                        done.append(totals)
                        self._update(done, scorer, started)
                        yield totals
                except KeyboardInterrupt:
                    if done:
                        self._update(done, scorer, started, interrupted=True)
                    raise
            if journal and not self._worth_resuming(done):
                journal.finish()

    @contextmanager
    def _scorer(self, journal: Journal | None) -> Iterator[Scorer]:
        from clipbench.inference.embedding_cache import open_cache

        options = self.options
        cache = open_cache(self.model, options.use_cache, self.on_note)
        with Scorer(
            self.model, options.batch_size, options.workers, cache,
            processes=self.processes, journal=journal, image_features=self.image_features, prompt=options.prompt,
        ) as scorer, ExitStack() as stack:  # fmt: skip
            # The libraries' objects stay: looking for garbage among them takes a fifth of the time outside encoders.
            gc.freeze()
            stack.callback(gc.unfreeze)  # or triton's would complain at exit that they were leaked
            yield scorer

    @contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        """The journal of a run whose results are written, kept for a later run unless it is finished."""
        if self.directory is None:
            yield None
            return
        self.directory.create()
        journal = None
        try:
            journal = self._open_journal(self.directory)
            yield journal
        finally:
            if journal and journal.is_empty and self.results is None:
                journal.finish()
            elif journal:
                journal.close()
            self.directory.remove_empty()

    def _open_journal(self, directory: ResultsDirectory) -> Journal | None:
        try:
            identity = run_identity(self.model, self.name or self.model.id, self.tasks, self.options)
            journal = Journal(directory.path, identity, resume=self.resume, on_note=self.on_note)
        except (ConfigError, ModelError) as error:
            self.on_note(f"{error}; this run cannot be resumed if interrupted")
            return None
        directory.take_over(journal.started)
        if journal.known:
            self.on_note(
                f"resuming the unfinished run of {journal.started:%Y-%m-%d %H:%M}: {len(journal.known):,} chunks of"
                " samples are already scored"
            )
        return journal

    @contextmanager
    def _sink(self, prepared: PreparedTask) -> Iterator[SampleSink | None]:
        """Where a task's sample results go: its sample log, the caller, both, or nowhere."""
        task, sinks = prepared.task.name, list[SampleSink]()
        with ExitStack() as stack:
            if self.directory and self.log_samples:
                sinks.append(stack.enter_context(self.directory.samples(task, self.sample_errors.append)))
            if self.open_log:
                sinks.append(stack.enter_context(self.open_log(task)))
            if self.on_sample:
                sinks.append(partial(self.on_sample, task))
            yield partial(_send, sinks) if sinks else None

    def _update(self, done: Sequence[TaskTotals], scorer: Scorer, started: datetime, interrupted: bool = False) -> None:
        """Write the results so far; where that fails, go on: the caller still gets them."""
        self.results = assemble_results(
            done,
            self.model,
            self.options,
            name=self.name or self.model.id,
            started=started.timestamp(),
            config={"tasks": [prepared.task.name for prepared in self.tasks], **self.config},
            profile=scorer.profile.summary(self.model.info.context_length) if self.profile else None,
            interrupted=interrupted,
            interpolation=self.interpolation,
        )
        if self.directory is None:
            return
        try:
            with scorer.profile.stage("write"):
                self.directory.write(self.results)
            self.write_error = None
        except ResultError as error:
            self.write_error = error

    def _worth_resuming(self, done: Sequence[TaskTotals]) -> bool:
        """Whether a later run may do what this one could not."""
        failed = any(
            totals.error and not totals.metrics and not prepared.error
            for prepared, totals in zip(self.tasks, done, strict=True)
        )
        return failed or self.write_error is not None or bool(self.sample_errors)


def _send(sinks: Sequence[SampleSink], result: SampleResult) -> None:
    for sink in sinks:
        sink(result)
