"""`clipbench reproduce`: a whole study, from its trainings to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import complain, note, print_rows
from clipbench.cli.display import display
from clipbench.cli.options import config_option
from clipbench.cli.values import check_device, parse_model_args, parse_pairs
from clipbench.errors import ConfigError, ResultError
from clipbench.utils.numbers import check_whole

if TYPE_CHECKING:
    from clipbench.reproduce.folder import StudyFolder
    from clipbench.reproduce.options import StudyOptions
    from clipbench.reproduce.plan import RunPlan
    from clipbench.reproduce.runner import RunEvent
    from clipbench.reproduce.steps import Run
    from clipbench.reproduce.study import Study


_MOST_JOBS = 256


def _places(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    return parse_pairs(value, "--data")


@click.command("reproduce", cls=Command)
@click.argument("study", metavar="STUDY")
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder of models, scores and report; an unfinished study in it is resumed.",
)
@click.option("--dry_run", is_flag=True, help="Show the plan, with counts and an estimate, and stop.")
@click.option("--quick", is_flag=True, help="The study's smaller version.")
@click.option("--methods", is_flag=True, help="Also the study's further methods, where it has some.")
@click.option("--only", metavar="NAMES", help="Runs (with *) and tables, separated by commas: 'color-*', table1.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that share the runs.",
)
@click.option("--launcher", default="", metavar="COMMAND", help="Prefix of trainings: 'torchrun --nproc_per_node 4'.")
@click.option(
    "--data",
    multiple=True,
    metavar="NAME=PLACE",
    callback=_places,
    help="Where a named data set lies.",
)
@click.option(
    "--model_args",
    "-a",
    default="",
    metavar="K=V,…|JSON",
    help="Of the base model, added to the study's: vision=FOLDER,text=FOLDER.",
)
@click.option(
    "--model", "-M", "models", multiple=True, metavar="MODEL",
    help="Another base model, as in `clipbench eval`. Repeatable. Default: the study's.",
)  # fmt: skip
@click.option("--train_data", metavar="NAME|FILE", help="As in `clipbench finetune`. Default: the study's.")
@click.option("--allow_missing", is_flag=True, help="Train and score even if images or rows are missing.")
@click.option("--device", callback=check_device, help="cpu, cuda, cuda:1. Default: a GPU if there is one.")
@click.option(
    "--image_cache", type=click.Path(path_type=Path), help="Folder of decoded images, as in `clipbench finetune`."
)
@click.option(
    "--num_workers", "workers", type=click.IntRange(min=1), default=2, show_default=True, help="Threads that decode."
)
@click.option("--report_only", is_flag=True, help="Write the report of what is finished, and run nothing.")
@config_option
def command(
    study: str,
    output_path: Path | None,
    dry_run: bool,
    quick: bool,
    methods: bool,
    only: str | None,
    jobs: int,
    launcher: str,
    data: dict[str, str],
    model_args: str,
    models: tuple[str, ...],
    train_data: str | None,
    allow_missing: bool,
    device: str | None,
    image_cache: Path | None,
    workers: int,
    report_only: bool,
) -> int:
    """Train and score all models of a study, and report them in the paper's arrangement.

    STUDY is `paper`, `scenes`, or a YAML file.

    \b
    clipbench reproduce scenes --output_path out --jobs 2
    clipbench reproduce paper --output_path out --dry_run
    clipbench reproduce paper --output_path out --model open_clip:ViT-B-32/laion2b_s34b_b79k
    """
    from clipbench.reproduce.folder import StudyFolder
    from clipbench.reproduce.jobs import interrupt_on_sigterm, run_jobs
    from clipbench.reproduce.options import StudyOptions
    from clipbench.reproduce.steps import chosen, is_trained
    from clipbench.reproduce.study import load_study

    check_whole("jobs", jobs, 1, _MOST_JOBS)
    loaded = load_study(study)
    loaded = loaded.quickly() if quick else loaded
    if methods and not loaded.training.methods:
        raise ConfigError(f"--methods: study {loaded.name} has none")
    loaded = loaded if methods else loaded.without_methods()
    loaded = loaded.trained_on(train_data) if train_data else loaded
    loaded = _starting_from(loaded, models) if models else loaded
    loaded = loaded.loaded_with(parse_model_args(model_args))
    runs, tables = chosen(loaded, only)
    options = StudyOptions(data, device, launcher, image_cache, workers, allow_missing, tables)
    if dry_run:
        there = StudyFolder(output_path) if output_path and output_path.is_dir() else None
        if there:
            there.check(loaded)
        _show_plan(loaded, runs, there, options, jobs)
        return 0
    if output_path is None:
        raise ConfigError("--output_path is missing: name a folder (not needed with --dry_run)")
    if jobs > 1 and device and device.startswith("cuda:"):
        raise ConfigError(f"--jobs {jobs} --device {device}: jobs divide the GPUs among themselves: pass --device cuda")
    folder = StudyFolder(output_path)
    interrupt_on_sigterm()
    folder.claim(loaded)
    if not report_only:
        _show_plan(loaded, runs, folder, options, jobs)
        _warn_of_overlaps(loaded, folder, options)

    def work() -> int:
        if report_only:
            return 0
        tell = _Teller(runs)
        if jobs == 1:
            return _work(loaded, folder, runs, options, tell)
        # All others wait for a base model that is trained: it has the whole machine.
        first = [run for run in runs if run.is_base and is_trained(loaded, run)]
        if first and (code := _work(loaded, folder, first, options, tell)):
            return code
        return _job_status(run_jobs(jobs, _work, loaded, folder, runs, options, on_event=tell))

    return _reported(loaded, folder, work)


def _starting_from(study: Study, models: tuple[str, ...]) -> Study:
    """The study with other base models, which are not trained first; published figures and the speed are of its own."""
    from clipbench.models import check_name

    for model in models:
        check_name(model)
    if len(set(models)) != len(models):
        raise ConfigError(f"--model: given twice ({', '.join(models)})")
    if list(models) == study.base_models:
        return study
    own: dict[str, object] = {"comparable": False, "speed": None, "base_training": None, "model_args": {}}
    return study.model_copy(update={"base_models": list(models), **own})


def _reported(study: Study, folder: StudyFolder, work: Callable[[], int]) -> int:
    """Do the work, and report what there is, even if interrupted."""
    from clipbench.reproduce.report import write_report

    interrupted, code = False, 0
    try:
        code = work()
    except KeyboardInterrupt:
        interrupted = True
    page = write_report(study, folder)[0]
    note(f"report in {page}")
    if interrupted:
        complain("interrupted; finished work was saved: run the same command again to resume")
    return 130 if interrupted else code


def _show_plan(study: Study, runs: list[Run], folder: StudyFolder | None, options: StudyOptions, jobs: int) -> None:
    from clipbench.reproduce.plan import count_captions, plan_study

    plan = plan_study(study, runs, folder, count_captions(study, options.data), options.tables)
    rows = [
        [
            planned.run.name,
            _known(planned.captions) if planned.trains else "",
            _known(planned.steps) if planned.trains else "",
            _known(planned.scorings),
            f"{planned.done}/{_known(planned.parts)}",
            _duration(planned.seconds),
        ]
        for planned in plan
    ]
    print_rows(["run", "captions", "steps", "scores", "done", "left"], rows, "table")
    note(_total(study, plan, jobs))


def _total(study: Study, plan: list[RunPlan], jobs: int) -> str:
    trainings = sum(planned.trains for planned in plan)
    scores = [planned.scorings for planned in plan]
    count = _known(None if None in scores else sum(score or 0 for score in scores))
    text = f"{trainings} trainings, {count} scores on {len({task for planned in plan for task in planned.tasks})} tasks"
    seconds = [planned.seconds for planned in plan]
    if study.speed is None or None in seconds:
        return f"{text}; no time estimate available"
    left = _duration(sum(each or 0 for each in seconds) / jobs)
    return f"{text}; about {left} left with --jobs {jobs}, on {study.speed.machine}"


def _known(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if not seconds:
        return "–"
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def _warn_of_overlaps(study: Study, folder: StudyFolder, options: StudyOptions) -> None:
    from clipbench.reproduce.runner import overlap_warnings

    warnings = overlap_warnings(study, folder, options, display.advance)
    for warning in warnings:
        note(f"warning: {warning}")


class _Teller:
    """Shows what happens in a study: a line each, and above a bar how many of its runs are done."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs, self._ended = {run.name for run in runs}, set[str]()

    def __call__(self, event: RunEvent) -> None:
        if event.ended:
            self._ended.add(event.run)
        if event.text:
            (complain if event.failed else note)(f"{event.run}: {event.text}")
        display.advance_outer("runs", len(self._ended & self._runs), len(self._runs), event.text and event.run)


def _work(
    study: Study, folder: StudyFolder, runs: list[Run], options: StudyOptions, tell: Callable[[RunEvent], None]
) -> int:
    from clipbench.reproduce.runner import RunEvent, StudyRunner

    failed = 0
    try:
        for event in StudyRunner(study, folder, options, display.advance).run(runs):
            failed += event.failed
            tell(event)
    except ResultError as error:
        tell(RunEvent(study.name, str(error), failed=True))
        return 1
    return 1 if failed else 0


def _job_status(codes: list[int | None]) -> int:
    for number, code in enumerate(codes, 1):
        if code not in (0, 1):
            complain(f"job {number} of {len(codes)} ended with exit code {code}; run the same command again to resume")
    return 1 if any(codes) else 0
