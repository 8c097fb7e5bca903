"""Sample logs: ``samples_<task>_<time>.jsonl``, one line per sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.types import LoggedSample, SampleResult


def sample_line(task: str, result: SampleResult) -> Mapping[str, object]:
    """What the log holds of one sample; the task type's own part, ``record``, is made by its ``score_sample``."""
    return {
        "doc_id": result.sample_id,
        "task": task,
        "group": result.group,
        "cluster": result.cluster,
        **result.record,
        **result.values,
        "correct": result.correct,
        "tied": result.tied,
    }


def logged_samples(results_path: Path, task: str) -> Iterator[LoggedSample]:
    """Read the samples that were logged with a result file.

    Raises:
        ResultError: There are none, or a line cannot be read; names file and line.
    """
    path = samples_path(results_path, task)
    if not path.is_file():
        raise ResultError(f"{path}: does not exist; evaluate with log_samples")
    number = 0
    with path.open(encoding="utf-8") as handle:
        try:
            for number, line in enumerate(handle, 1):  # noqa: B007  # named in the message
                yield _parse(json.loads(line))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ResultError(f"{path}:{number}: not a JSON line: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(f"{path}:{number}: not a sample of {task}: {error!r}") from None


def _parse(line: Mapping[str, Any]) -> LoggedSample:
    # Logs of schema version 1 hold one key in `image`, and have `acc` where `correct` is now.
    images = tuple(line["images"] if "images" in line else [line["image"]])
    scores = line["scores"]
    rows = scores if scores and isinstance(scores[0], list) else [scores]
    texts = tuple(line["texts"])
    if [len(row) for row in rows] != [len(texts)] * len(images):
        raise ValueError(
            f"{len(images)} images and {len(texts)} texts have {len(rows)} rows of scores, or of other length"
        )
    return LoggedSample(
        id=str(line["doc_id"]),
        correct=bool(line["correct"] if "correct" in line else line["acc"]),
        tied=bool(line.get("tied", False)),
        group=str(line["group"]),
        cluster=str(line.get("cluster") or images[0]),
        images=images,
        texts=texts,
        scores=tuple(tuple(float(score) for score in row) for row in rows),
        values=line,
    )
