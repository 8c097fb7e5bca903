"""The run behind `clipbench eval`: its tasks, its files, and what is said of it."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clipbench.cli.console import complain, note, print_profile, print_results, progress_bar
from clipbench.errors import ConfigError, ModelError, ResultError

if TYPE_CHECKING:
    from clipbench.evaluation.preparation import EvaluationOptions, PreparedTask, Progress
    from clipbench.evaluation.runner import Take
    from clipbench.evaluation.task_totals import TaskTotals
    from clipbench.inference.journal import Journal
    from clipbench.inference.scorer import Scorer
    from clipbench.models import Model
    from clipbench.results import Results, ResultsDirectory
    from clipbench.utils.distributed import Processes


def bar_of(processes: Processes) -> AbstractContextManager[Progress]:
    """A progress bar; of several processes the main one alone shows it."""
    return progress_bar() if processes.is_main else nullcontext(lambda name, done, total: None)


@dataclass
class EvaluationRun:
    """Tasks done one after another, and written after each one.

    Attributes:
        plans: The tasks with their data.
        model: The model.
        options: How they are scored.
        asked: What the results say was asked for.
        folder: Where results go; None where they are printed only.
        processes: Those that share the work.
        log_samples: Write samples too.
        resume: Go on where the very same run was ended.
        profile: Say where the time went.
        results: What there is so far.
        interrupted: Ctrl-C ended the run.
        unwritten: Why results could not be written.
    """

    plans: Sequence[PreparedTask]
    model: Model
    options: EvaluationOptions
    asked: Mapping[str, object]
    folder: ResultsDirectory | None
    processes: Processes
    log_samples: bool = False
    resume: bool = True
    profile: bool = False
    results: Results | None = None
    interrupted: bool = False
    unwritten: str | None = None

    def go(self) -> None:
        """Score all tasks."""
        from clipbench.evaluation.runner import run_tasks
        from clipbench.inference.embedding_cache import open_cache
        from clipbench.inference.scorer import Scorer

        journal = self._open_journal()
        started = journal.started if journal else datetime.now()
        done: list[TaskTotals] = []
        with ExitStack() as stack:
            if journal:
                stack.callback(journal.close)
            cache = open_cache(self.model, self.options.use_cache, note)
            batch_size, workers = self.options.batch_size, self.options.workers
            scorer = stack.enter_context(
                Scorer(self.model, batch_size, workers, cache, processes=self.processes, journal=journal)
            )
            advance = stack.enter_context(bar_of(self.processes))
            gc.freeze()  # the libraries' objects stay: looking for garbage among them takes a fifth of the machinery
            stack.callback(gc.unfreeze)  # or triton's would complain at exit that they were leaked
            try:
                for result in run_tasks(self.plans, scorer, self.options, self._sink, advance):
                    done.append(result)
                    self._keep(done, scorer, started)
            except KeyboardInterrupt:
                self.interrupted = True
                if done:
                    self._keep(done, scorer, started)
            if journal and not self._may_go_on(done):
                journal.finish()

    def _open_journal(self) -> Journal | None:
        """The journal of a run whose results are written; what an earlier sitting left in it is told."""
        from clipbench.evaluation.assembly import run_identity
        from clipbench.inference.journal import Journal

        if self.folder is None:
            return None
        try:
            identity = run_identity(self.plans, self.model, self.options)
            journal = Journal(self.folder.path, identity, resume=self.resume, on_note=note)
        except (ConfigError, ModelError) as error:
            note(f"{error}; should this run be ended, it cannot be resumed")
            return None
        self.folder.take_over(journal.started)
        if journal.known:
            note(
                f"going on with the unfinished run of {journal.started:%Y-%m-%d %H:%M}:"
                f" {len(journal.known):,} chunks of samples are scored (--no_resume begins anew)"
            )
        return journal

    def _may_go_on(self, done: Sequence[TaskTotals]) -> bool:
        """Whether a later sitting may do what this one did not."""
        broke = any(
            one.error and not one.metrics and not plan.error for plan, one in zip(self.plans, done, strict=False)
        )
        return self.interrupted or self.unwritten is not None or broke

    def _sink(self, plan: PreparedTask) -> AbstractContextManager[Take | None]:
        if self.folder is None or not self.log_samples or plan.error:
            return nullcontext()
        return self.folder.samples(plan.task.name)

    def _keep(self, done: Sequence[TaskTotals], scorer: Scorer, started: datetime) -> None:
        """Write the results so far; where that fails, go on: the terminal still gets them."""
        from clipbench.evaluation.assembly import assemble_results

        asked = dict(self.asked)
        if self.interrupted:
            asked["interrupted"] = True
        if self.profile:
            asked["profile"] = scorer.profile.summary(self.model.info.context_length)
        self.results = assemble_results(done, self.model, self.options, started.timestamp(), asked)
        if self.folder is None:
            return
        try:
            with scorer.profile.stage("write"):
                self.folder.write(self.results)
            self.unwritten = None
        except ResultError as error:
            self.unwritten = str(error)

    @property
    def code(self) -> int:
        """The exit code."""
        if self.interrupted or self.results is None:
            return 130
        return 1 if self.results.failed or self.unwritten else 0

    def report(self, style: str) -> int:
        """Print what there is and what went wrong. Returns the exit code."""
        if self.results is None:
            complain("interrupted before a task was done")
            return self.code
        print_results(self.results, style)
        for task, report in self.results.tasks.items():
            if report.error:
                complain(report.error)
            else:
                for problem in report.problems:
                    note(f"{task}: {problem}")
        if self.profile:
            print_profile(self.results.config["profile"])
        if self.unwritten:
            complain(self.unwritten)
        elif self.folder:
            note(f"results in {self.folder.results_path}")
        if self.interrupted:
            complain("interrupted: the tasks above are done and kept")
        return self.code
