"""A run's results in trackers such as wandb, trackio and MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbench.errors import ResultError
from clipbench.results.results import Results
from clipbench.utils.text import reason
from clipbench.utils.trackers import PROJECT, plain_values

_RUN_NAME = {"wandb": "name", "trackio": "name", "mlflow": "run_name"}  # the argument that names a run


def tracked_scores(results: Results) -> dict[str, float]:
    """What trackers get: ``task/metric`` and ``task/metric_stderr``.

    MLflow takes no ``@``, so that ``t2i_recall@5`` is ``t2i_recall_at_5``.
    """
    found: dict[str, float] = {}
    for task, result in results.tasks.items():
        for metric, measure in result.metrics.items():
            name = f"{task}/{metric.replace('@', '_at_')}"
            found[name] = measure.value
            if measure.stderr is not None:
                found[f"{name}_stderr"] = measure.stderr
    return found


def report_results(results: Results, names: Sequence[str], folder: Path) -> None:
    """Log a run to trackers, one after another, with the model and the options as its configuration.

    Args:
        results: The run.
        names: Trackers, which ``check_trackers`` has checked.
        folder: Where those that write files write them.

    Raises:
        ResultError: A tracker failed; names it.
    """
    for name in names:
        try:
            _report(results, name, folder)
        except Exception as error:  # a tracker's own, such as that there is no network
            raise ResultError(f"report_to {name}: the results are not logged: {reason(error)}") from None


def _report(results: Results, name: str, folder: Path) -> None:
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # which trackers ask for the main process
    tracker_class: Any = LOGGER_TYPE_TO_CLASS[name]
    place = [str(folder)] if tracker_class.requires_logging_directory else []
    named = {_RUN_NAME[name]: results.model_name} if name in _RUN_NAME else {}
    tracker = tracker_class(PROJECT, *place, **named)
    tracker.start()
    config = {"model": results.model_name, "fingerprint": results.model_fingerprint, **results.model_info}
    tracker.store_init_configuration(plain_values({**config, **results.config.model_dump()}))
    tracker.log(tracked_scores(results), step=0)
    tracker.finish()
