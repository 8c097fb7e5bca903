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

from clipbench.metrics import chance_corrected, mean_stderr
from clipbench.results import GroupScore, Results, SampleCount, TaskReport, sanitize
from clipbench.task_types.registry import group_members, known_tasks

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.task_totals import TaskTotals
    from clipbench.models import Model
    from clipbench.task_types.base import Task

Row = dict[str, float | str | None]


def assemble_results(
    task_results: Iterable[TaskTotals],
    model: Model,
    options: EvaluationOptions,
    *,
    name: str,
    started: float,
    config: Mapping[str, object],
    profile: Mapping[str, object] | None = None,
    interrupted: bool = False,
) -> Results:
    """Put a run's numbers and facts together.

    Args:
        task_results: The tasks done so far.
        model: The model they were scored with.
        options: The run's options.
        name: What the results call the model.
        started: When the run started, in seconds since the epoch.
        config: Further entries of the results' ``config``.
        profile: Where the time went.
        interrupted: The run was interrupted after these tasks.
    """
    done = list(task_results)
    results = Results(
        config={
            "model": name,
            "model_facts": {**model.info.to_dict(), "fingerprint": model.fingerprint},
            **asdict(options),
            "include_path": [str(path) for path in options.include_path],
            **config,
            **({"interrupted": True} if interrupted else {}),
            **({"profile": profile} if profile is not None else {}),
        },
        model_name=name,
        model_name_sanitized=sanitize(name),
        clipbench_version=metadata.version("clipbench"),
        git_hash=git_hash(),
        date=started,
        pretty_env_info=_environment(),
        total_evaluation_time_seconds=time.time() - started,
    )
    for result in done:
        task = result.task.name
        results.results[task] = _row(result)
        results.tasks[task] = _report(result, options.limit)
        results.configs[task] = declaration(result.task)
        results.versions[task] = result.task.version
        results.higher_is_better[task] = dict.fromkeys(result.task.metrics, True)
        results.n_samples[task] = SampleCount(original=result.report.n, effective=_scored(result))
    _add_groups(results, [result.task for result in done], known_tasks(options.include_path))
    return results


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
        "tags": list(task.tags),
        "note": task.note,
    }


def _scored(result: TaskTotals) -> int:
    return result.report.scorable if result.metrics else 0


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _row(result: TaskTotals) -> Row:
    task = result.task
    row: Row = {"alias": task.name}
    for name in task.metrics:
        if name in result.metrics:
            row[f"{name},none"] = _number(result.metrics[name].mean)
            row[f"{name}_stderr,none"] = _number(result.metrics[name].stderr)
    primary = result.metrics.get(task.primary_metric)
    if primary and result.chance.mean < 1:
        row[f"{task.primary_metric}_centred,none"] = chance_corrected(primary.mean, result.chance.mean)
    return row


def _report(result: TaskTotals, limit: int | None) -> TaskReport:
    report, primary = result.report, result.metrics.get(result.task.primary_metric)
    problems = report.problems
    if result.truncated_texts:
        problems.append(f"{result.truncated_texts:,} texts longer than the model's context were cut")
    if limit is not None:
        problems.append(f"limited to the first {limit:,} samples that can be scored")
    return TaskReport(
        task_type=result.task.task_type,
        primary_metric=result.task.primary_metric,
        chance=_number(result.chance.mean),
        expected_n=result.task.expected_n,
        clusters=primary.clusters if primary else 0,
        missing_images=len(report.missing),
        broken_images=len(report.broken),
        unjudgeable=len(report.invalid),
        tied=result.tied,
        truncated_texts=result.truncated_texts,
        complete=not report.failures and result.error is None and limit is None,
        problems=problems,
        error=result.error,
        data=asdict(result.source.provenance) if result.source else {},
        breakdown={part: GroupScore(n=mean.count, value=mean.mean) for part, mean in sorted(result.breakdown.items())},
        seconds=result.seconds,
    )


def _add_groups(results: Results, tasks: Sequence[Task], known: Sequence[Task]) -> None:
    """Add the mean of every group that was run whole and whose tasks share their primary metric."""
    done = {task.name: task for task in tasks if results.tasks[task.name].error is None}
    for group, names in group_members({**{task.name: task for task in known}, **done}.values()).items():
        if not set(names) <= done.keys():
            continue
        results.group_subtasks[group] = names
        metrics = {done[name].primary_metric for name in names}
        if len(metrics) == 1:
            whole = all(results.tasks[name].complete for name in names)
            alias = group if whole else f"{group} (incomplete)"
            results.groups[group] = _mean_row(alias, metrics.pop(), [results.results[name] for name in names])


def _mean_row(alias: str, metric: str, rows: Sequence[Row]) -> Row:
    values = [row.get(f"{metric},none") for row in rows]
    errors = [row.get(f"{metric}_stderr,none") for row in rows]
    numbers = [value for value in values if isinstance(value, float)]
    stderrs = [error for error in errors if isinstance(error, float)]
    return {
        "alias": alias,
        f"{metric},none": math.fsum(numbers) / len(numbers) if len(numbers) == len(rows) else None,
        f"{metric}_stderr,none": mean_stderr(stderrs) if len(stderrs) == len(rows) else None,
    }


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
