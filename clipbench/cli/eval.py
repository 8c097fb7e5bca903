"""`clipbench eval`: score a model on tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.console import complain, note, print_results, progress_bar
from clipbench.cli.options import parse_batch_size, parse_model_args, parse_pairs, task_options
from clipbench.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from clipbench.models import Model
    from clipbench.planning import EvaluationOptions, Plan
    from clipbench.results import Results, ResultsDirectory


@click.command("eval")
@click.option("--model", "-M", required=True, help="A hub id, a folder, open_clip:ARCH/TAG, or hf with --model_args.")
@click.option("--model_args", "-a", default="", metavar="K=V,…|JSON", help="pretrained=…, revision=…, dtype=…")
@task_options
@click.option("--batch_size", "-b", default="auto", show_default=True, help="N or auto; halves when memory runs out.")
@click.option("--device", help="cpu, cuda, cuda:1, mps. Default: a GPU where there is one.")
@click.option("--dtype", help="float32, float16 or bfloat16, for the encoders; scores are always float32.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), help="Folder for results and samples.")
@click.option("--log_samples", "-s", is_flag=True, help="Also write every sample's texts and scores.")
@click.option("--allow_missing", is_flag=True, help="Score what is there where images or rows are missing.")
@click.option("--trust_remote_code", is_flag=True, help="Run code that comes with a checkpoint.")
@click.option("--seed", type=int, default=0, show_default=True, help="For plugins that draw; clipbench draws nothing.")
def command(
    model: str,
    model_args: str,
    tasks: str,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
    limit: int | None,
    streaming: bool,
    num_workers: int,
    style: str,
    batch_size: str,
    device: str | None,
    dtype: str | None,
    output_path: Path | None,
    log_samples: bool,
    allow_missing: bool,
    trust_remote_code: bool,
    seed: int,
) -> int:
    """Score a model on tasks.

    \b
    clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color
    clipbench eval --model open_clip:ViT-B-32/laion2b_s34b_b79k --tasks coco --data coco=COCO_FOLDER
    """
    from clipbench.models import load_model, name_of
    from clipbench.planning import EvaluationOptions, plan_tasks
    from clipbench.plugins import select_tasks
    from clipbench.results import ResultsDirectory

    if log_samples and output_path is None:
        raise ConfigError("--log_samples needs --output_path")
    options = EvaluationOptions(
        data=parse_pairs(data, "--data"),
        batch_size=parse_batch_size(batch_size),
        limit=limit,
        allow_missing=allow_missing,
        streaming=streaming,
        workers=num_workers,
        seed=seed,
        include_path=include_path,
    )
    arguments = parse_model_args(model_args)
    # What can be known to fail is found before the model is loaded, the cheapest first.
    chosen = select_tasks(tasks, include_path)
    folder = ResultsDirectory(output_path, name_of(model, arguments), datetime.now()) if output_path else None
    with progress_bar() as advance:
        plans = list(plan_tasks(chosen, options, advance))
    if all(plan.error for plan in plans):
        for plan in plans:
            complain(plan.error or "")
        return 1
    loaded = load_model(model, model_args=arguments, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    asked = {
        "tasks": [task.name for task in chosen],
        "model_args": {**arguments, "device": device, "dtype": dtype, "trust_remote_code": trust_remote_code},
    }
    run = _Run(plans, loaded, options, folder if log_samples else None, asked)
    for results in run:
        if folder:
            run.keep(folder, results)
    return _report(run, folder, style)


class _Run:
    """Tasks done one after another; iterating yields the results so far after each one.

    Attributes:
        results: The last of them.
        interrupted: Ctrl-C ended the run.
        unwritten: Why results could not be written.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        model: Model,
        options: EvaluationOptions,
        samples: ResultsDirectory | None,
        asked: Mapping[str, object],
    ) -> None:
        self._plans, self._model, self._options = plans, model, options
        self._samples, self._asked = samples, asked
        self.results: Results | None = None
        self.interrupted = False
        self.unwritten: str | None = None

    def __iter__(self) -> Iterator[Results]:
        from clipbench.evaluation import run_plan
        from clipbench.report import assemble_results
        from clipbench.scoring import Scorer
        from clipbench.task_result import TaskResult

        started = time.time()
        done: list[TaskResult] = []
        with Scorer(self._model, self._options.batch_size, self._options.workers) as scorer, progress_bar() as advance:
            try:
                for plan in self._plans:
                    sink = self._samples.samples(plan.task.name) if self._samples and not plan.error else None
                    done.append(run_plan(plan, scorer, self._options, sink, advance))
                    self.results = assemble_results(done, self._model, self._options, started, self._asked)
                    yield self.results
            except KeyboardInterrupt:
                self.interrupted = True
        if self.interrupted and done:
            asked = {**self._asked, "interrupted": True}
            self.results = assemble_results(done, self._model, self._options, started, asked)
            yield self.results

    def keep(self, folder: ResultsDirectory, results: Results) -> None:
        """Write the results; where that fails, go on: the terminal still gets them."""
        try:
            folder.write(results)
            self.unwritten = None
        except ResultError as error:
            self.unwritten = str(error)


def _report(run: _Run, folder: ResultsDirectory | None, style: str) -> int:
    """Print what there is and what went wrong. Returns the exit code."""
    if run.results is None:
        complain("interrupted before a task was done")
        return 130
    print_results(run.results, style)
    for task, report in run.results.tasks.items():
        if report.error:
            complain(report.error)
        else:
            for problem in report.problems:
                note(f"{task}: {problem}")
    if run.unwritten:
        complain(run.unwritten)
    elif folder:
        note(f"results in {folder.results_path}")
    if run.interrupted:
        complain("interrupted: the tasks above are done and kept")
        return 130
    return 1 if run.results.failed or run.unwritten else 0
