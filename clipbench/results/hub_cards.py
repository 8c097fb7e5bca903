"""Results in the forms that the Hugging Face hub knows: a card's model index, and eval-results files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from clipbench.results.results import Results
from clipbench.results.task_result import Measure, TaskResult
from clipbench.task_types.registry import find_task_type

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry


def card_results(results: Results) -> Iterator[EvalResult]:
    """What a model card's ``model-index`` says: every metric of every task whose data was complete."""
    from huggingface_hub import EvalResult

    for task, result, metric, measure in _comparable(results):
        hub, dataset = hub_data(result), str(result.declaration.get("dataset") or task)
        task_type, task_name = find_task_type(result.task_type).hub_task
        arguments = {
            "task": task,
            "version": result.version,
            "stderr": measure.stderr,
            "n": result.counts.effective,
            "chance": result.chance if metric == result.primary_metric else None,
        }
        yield EvalResult(
            task_type=task_type,
            task_name=task_name,
            dataset_type=str(hub["repo"]) if hub else dataset,
            dataset_name=dataset,
            dataset_config=hub.get("config"),
            dataset_split=hub.get("split"),
            dataset_revision=result.data.get("revision"),
            metric_type=metric,
            metric_name=f"{task} {metric}",
            metric_value=measure.value,
            metric_args={key: argument for key, argument in arguments.items() if argument is not None},
            verified=False,
        )


def eval_result_entries(results: Results, source: str | None = None) -> Iterator[EvalResultEntry]:
    """Entries for a model's ``.eval_results/*.yaml``: primary metrics of tasks whose data came from the hub.

    Args:
        results: The run.
        source: The URL of its result file, if it is published.
    """
    from huggingface_hub import EvalResultEntry

    for task, result, metric, measure in _comparable(results):
        hub = hub_data(result)
        if not hub or metric != result.primary_metric:
            continue
        error = "" if measure.stderr is None else f" ± {measure.stderr:.4f}"
        notes = f"{metric}{error}, n = {result.counts.effective}, task version {result.version}"
        yield EvalResultEntry(
            dataset_id=str(hub["repo"]),
            task_id=task,
            value=measure.value,
            dataset_revision=result.data.get("revision"),
            date=datetime.fromtimestamp(results.date, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source_url=source,
            source_name=source and "clipbench results",
            notes=f"{notes}, clipbench {results.clipbench_version}",
        )


def hub_data(result: TaskResult) -> dict[str, Any]:
    """The repository, config and split that the rows came from; empty if they did not come from the hub."""
    data = result.data
    if data.get("layout") != "hub" or not data.get("location"):
        return {}
    declared = result.declaration.get("hub") or {}
    same = declared.get("repo") == data["location"]  # the option data may have named another
    return {**(declared if same else {}), "repo": data["location"]}


def _comparable(results: Results) -> Iterator[tuple[str, TaskResult, str, Measure]]:
    """Everything that compares with others' results."""
    for task, result in results.tasks.items():
        if result.error is None and result.complete:
            for metric, measure in result.metrics.items():
                yield task, result, metric, measure
