"""Sample logs: ``samples_<task>_<time>.jsonl``, one line per sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.types import SampleResult


def sample_line(task: str, result: SampleResult) -> Mapping[str, object]:
    """What the log holds of one sample."""
    return {
        "doc_id": result.sample_id,
        "task": task,
        "group": result.group,
        "cluster": result.cluster,
        **result.record,
        **result.values,
        "tied": result.tied,
    }


def logged_samples(results_path: Path, task: str) -> Iterator[dict[str, Any]]:
    """Read the samples that were logged with a result file.

    Raises:
        ResultError: There are none, or a line cannot be read.
    """
    path = samples_path(results_path, task)
    if not path.is_file():
        raise ResultError(f"{path}: does not exist; evaluate with log_samples")
    number = 0
    with path.open(encoding="utf-8") as handle:
        try:
            for number, line in enumerate(handle, 1):  # noqa: B007  # named in the message
                yield json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ResultError(f"{path}:{number}: not a JSON line: {error}") from None


def image_keys(line: Mapping[str, Any]) -> list[str]:
    """Keys of a logged sample's images."""
    return list(line["images"]) if "images" in line else [line["image"]]


def cluster_of(line: Mapping[str, Any]) -> str:
    """The cluster that a logged sample belongs to, as in :class:`clipbench.types.Sample`."""
    return str(line.get("cluster") or image_keys(line)[0])
