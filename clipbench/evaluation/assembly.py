"""From numbers to the results schema: means over groups, declarations, and facts about the run."""

from __future__ import annotations

import math
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.evaluation.task_totals import tie_note
from clipbench.metrics import mean_stderr
from clipbench.models.origin import base_facts
from clipbench.results import (
    BreakdownEntry,
    GroupResult,
    Interpolation,
    Measure,
    Results,
    RunConfig,
    SampleCounts,
    StudyStep,
    TaskResult,
)
from clipbench.task_types.registry import group_members, known_tasks
from clipbench.utils.counting import BalancedMean, ClusteredMean, Mean

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.task_totals import TaskTotals
    from clipbench.models import Model
    from clipbench.task_types.base import Task


def assemble_results(
    totals: Iterable[TaskTotals],
    model: Model,
    options: EvaluationOptions,
    *,
    name: str,
    started: float,
    config: Mapping[str, object] | None = None,
    profile: Mapping[str, object] | None = None,
    interrupted: bool = False,
    interpolation: Interpolation | None = None,
    study_step: StudyStep | None = None,
) -> Results:
    """Put a run's numbers and facts together.

    Args:
        totals: Those of the tasks done so far.
        model: The model they were scored with.
        options: The run's options.
        name: What the results call the model.
        started: When the run started, in seconds since the epoch.
        config: Further entries of the results' ``config``.
        profile: Where the time went.
        interrupted: The run was interrupted after these tasks.
        interpolation: Identity of an interpolated model.
        study_step: Identity of a study's step.
    """
    done = list(totals)
    tasks = {each.task.name: _task_result(each) for each in done}
    return Results(
        tasks=tasks,
        groups=_groups(tasks, [each.task for each in done], known_tasks(options.include_path)),
        model_name=name,
        model_fingerprint=model.fingerprint,
        model_info={**model.info.to_dict(), **base_facts(name)},
        config=RunConfig(
            **{
                "model": name,
                **asdict(options),
                "include_path": [str(path) for path in options.include_path],
                **(config or {}),
            }
        ),
        clipbench_version=metadata.version("clipbench"),
        git_hash=git_hash(),
        date=started,
        pretty_env_info=_environment(),
        total_evaluation_time_seconds=time.time() - started,
        profile=None if profile is None else dict(profile),
        interrupted=interrupted,
        interpolation=interpolation,
        study_step=study_step,
    )


def declaration(task: Task) -> dict[str, Any]:
    """A task's declaration, as result files hold it."""
    dataset = task.dataset
    return {
        "task": task.name,
        "version": task.version,
        "task_type": task.task_type,
        "concept": getattr(task, "concept", None),
        "dataset": dataset.name,
        "hub": asdict(dataset.hub) if dataset.hub else None,
        "license": dataset.license,
        "citation": dataset.citation,
        "primary_metric": task.primary_metric,
        "chance": task.chance,
        "expected_n": task.expected_n,
        "groups": list(task.groups),
        "tags": list(task.all_tags),
        "note": task.note,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _task_result(totals: TaskTotals) -> TaskResult:
    task, report = totals.task, totals.report
    means: dict[str, ClusteredMean | BalancedMean] = {**totals.metrics, **totals.balanced}
    blind = dict(totals.blind) if means else {}
    problems = report.problems
    if totals.truncated_texts:
        problems.append(f"{totals.truncated_texts:,} texts longer than the model's context were cut")
    if ties := tie_note(totals.tied, totals.scored):
        problems.append(ties)
    if report.limit is not None:
        problems.append(f"limited to the first {report.limit:,} samples that can be scored")
    return TaskResult(
        task_type=task.task_type,
        version=task.version,
        primary_metric=task.primary_metric,
        metrics={name: Measure(mean.mean, _number(mean.stderr)) for name in task.metrics if (mean := means.get(name))},
        higher_is_better=dict.fromkeys(task.metrics, True),
        counts=SampleCounts(original=report.n, effective=report.scorable if means else 0),
        chance=_number(totals.chance.mean),
        expected_n=task.expected_n,
        clusters=means[task.primary_metric].clusters if task.primary_metric in means else 0,
        missing_images=len(report.missing),
        broken_images=len(report.broken),
        invalid=len(report.invalid),
        tied=totals.tied,
        truncated_texts=totals.truncated_texts,
        complete=not report.failures and totals.error is None and report.limit is None,
        problems=problems,
        error=totals.error,
        data=asdict(totals.source.provenance) if totals.source else {},
        breakdown=_breakdown(totals.breakdown),
        blind=blind.pop(task.primary_metric, {}),
        blind_balanced=blind,
        declaration=declaration(task),
        seconds=totals.seconds,
    )


def _breakdown(parts: Mapping[str, Mean]) -> dict[str, BreakdownEntry]:
    return {part: BreakdownEntry(n=mean.count, value=mean.mean) for part, mean in sorted(parts.items())}


def _groups(results: Mapping[str, TaskResult], tasks: Iterable[Task], known: Iterable[Task]) -> dict[str, GroupResult]:
    """Every group that was run whole, with its mean if its tasks share their primary metric."""
    done = {task.name: task for task in tasks if results[task.name].error is None}
    members = group_members({**{task.name: task for task in known}, **done}.values())
    return {
        group: _group_result(names, [results[name] for name in names])
        for group, names in members.items()
        if set(names) <= done.keys()
    }


def _group_result(names: list[str], results: Sequence[TaskResult]) -> GroupResult:
    metrics = {result.primary_metric for result in results}
    group = GroupResult(tasks=names, complete=all(result.complete for result in results))
    if len(metrics) > 1:
        return group
    group.metric = metrics.pop()
    measures = [result.primary for result in results if result.primary]
    stderrs = [measure.stderr for measure in measures if measure.stderr is not None]
    if len(measures) == len(results):
        mean = math.fsum(measure.value for measure in measures) / len(measures)
        group.mean = Measure(mean, mean_stderr(stderrs) if len(stderrs) == len(results) else None)
    return group


def git_hash() -> str | None:
    """The commit of the checkout that clipbench runs from, or None where it is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _environment() -> str:
    import torch

    versions = [f"Python {platform.python_version()}", platform.platform()]
    for package in ("clipbench", "torch", "transformers", "open_clip_torch", "datasets", "numpy", "pillow"):
        versions.append(f"{package} {metadata.version(package)}")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return "\n".join([*versions, f"devices: {', '.join(devices) or 'CPU'}"])
