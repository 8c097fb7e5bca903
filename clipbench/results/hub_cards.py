"""Results in the forms that the Hugging Face hub knows: a card's model index, and eval-results files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from clipbench.results import Results

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

# Task type and name of each task type. The hub groups metrics by type and data set, and keeps one name a group.
_TASK_TYPES = {
    "ranking": ("zero-shot-image-classification", "Concept ranking"),
    "pairs": ("image-text-matching", "Pairs of images and captions"),
    "retrieval": ("image-text-retrieval", "Retrieval"),
}


def card_results(results: Results) -> Iterator[EvalResult]:
    """What a model card's ``model-index`` says: every metric of every task whose data was complete."""
    from huggingface_hub import EvalResult

    for task, metric, value, stderr in _numbers(results):
        report, declared = results.tasks[task], results.configs[task]
        hub = _hub(results, task)
        task_type, task_name = _TASK_TYPES.get(report.task_type, (report.task_type, report.task_type))
        arguments = {
            "task": task,
            "version": results.versions[task],
            "stderr": stderr,
            "n": results.n_samples[task].effective,
            "chance": report.chance if metric == report.primary_metric else None,
        }
        yield EvalResult(
            task_type=task_type,
            task_name=task_name,
            dataset_type=str(hub["repo"] if hub else declared["dataset"]),
            dataset_name=str(declared["dataset"]),
            dataset_config=hub.get("config"),
            dataset_split=hub.get("split"),
            dataset_revision=report.data.get("revision"),
            metric_type=metric,
            metric_name=f"{task} {metric}",
            metric_value=value,
            metric_args={key: argument for key, argument in arguments.items() if argument is not None},
            verified=False,
        )


def eval_result_entries(results: Results) -> Iterator[EvalResultEntry]:
    """What ``.eval_results/*.yaml`` of a model says: primary metrics of tasks whose data came from the hub."""
    from huggingface_hub import EvalResultEntry

    for task, metric, value, stderr in _numbers(results):
        hub = _hub(results, task)
        if not hub or metric != results.tasks[task].primary_metric:
            continue
        error = "" if stderr is None else f" ± {stderr:.4f}"
        notes = f"{metric}{error}, n = {results.n_samples[task].effective}, task version {results.versions[task]}"
        yield EvalResultEntry(
            dataset_id=str(hub["repo"]),
            task_id=task,
            value=value,
            dataset_revision=results.tasks[task].data.get("revision"),
            date=datetime.fromtimestamp(results.date, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            notes=f"{notes}, clipbench {results.clipbench_version}",
        )


def _hub(results: Results, task: str) -> dict[str, Any]:
    """The repository, config and split that the rows came from; empty where they did not come from the hub."""
    data = results.tasks[task].data
    if data.get("layout") != "hub":
        return {}
    declared = results.configs[task].get("hub") or {}
    same = declared.get("repo") == data["location"]  # --data may have named another
    return {**(declared if same else {}), "repo": data["location"]}


def _numbers(results: Results) -> Iterator[tuple[str, str, float, float | None]]:
    """Task, metric, value and standard error of everything that compares with others' results."""
    for task, report in results.tasks.items():
        if report.error is not None or not report.complete:
            continue
        row = results.results[task]
        for metric in results.higher_is_better[task]:
            value, stderr = row.get(f"{metric},none"), row.get(f"{metric}_stderr,none")
            if isinstance(value, float):
                yield task, metric, value, stderr if isinstance(stderr, float) else None
