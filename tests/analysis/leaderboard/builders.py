"""Result files without a model."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from clipbench.results import BreakdownEntry, Measure, Results, RunConfig, SampleCounts, TaskResult, sanitize

DAY = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()


def make_results(
    model: str = "org/model", values: dict[str, float] | None = None, *, day: int = 0, weights: str = "a" * 64,
    version: int = 1, limit: int | None = None, complete: bool = True, error: str | None = None,
    task_type: str = "ranking", metric: str = "acc", stderr: float = 0.01, n: int = 100, groups: tuple[str, ...] = (),
    breakdown: dict[str, float] | None = None,
) -> Results:  # fmt: skip
    info = {
        "parameters": 123_456,
        "precision": "float32",
        "preprocessor": "CLIPImageProcessorPil",
        "revision": "f" * 40,
        "library": "transformers",
    }
    results = Results(
        config=RunConfig(model=model, limit=limit),
        model_name=model,
        model_fingerprint=weights,
        model_info=info,
        clipbench_version="0.1.0",
        git_hash="abc",
        date=DAY + 86_400 * day,
    )
    for task, value in (values or {"t": 0.5}).items():
        results.tasks[task] = TaskResult(
            metrics={metric: Measure(value, stderr)}, higher_is_better={metric: True}, version=version,
            counts=SampleCounts(original=n, effective=n),
            declaration={"groups": list(groups), "dataset": "toy", "concept": "color", "hub": None},
            task_type=task_type, primary_metric=metric, chance=0.25, complete=complete and limit is None, error=error,
            data={"fingerprint": "rows", "layout": "csv", "location": "somewhere"},
            breakdown={word: BreakdownEntry(n=10, value=part) for word, part in (breakdown or {}).items()},
        )  # fmt: skip
    return results


def write(folder: Path, results: Results, samples: dict[str, list[dict]] | None = None) -> Path:
    """Write results as `clipbench eval` does, with samples beside them."""
    when = datetime.fromtimestamp(results.date, timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%f")
    place = folder / sanitize(results.model_name)
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"results_{when}.json"
    path.write_text(results.to_json(), encoding="utf-8")
    for task, lines in (samples or {}).items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (place / f"samples_{task}_{when}.jsonl").write_text(text, encoding="utf-8")
    return path


WORDS = ("red", "blue", "green")


def line(name: str, right: bool, image: str | None = None, best: int = 1) -> dict:
    """A ranking's logged sample; where it is wrong, ``WORDS[best]`` is ranked first."""
    scores = [0.1] * len(WORDS)
    scores[0 if right else best] = 0.3
    return {
        "doc_id": name,
        "task": "t",
        "group": WORDS[0],
        "image": image or f"image {name}",
        "texts": [f"a {word} car {name}" for word in WORDS],
        "scores": scores,
        "keyword": WORDS[0],
        "replacements": list(WORDS[1:]),
        "acc": float(right),
        "tied": False,
    }


def lines(pattern: str, per_image: int = 1) -> list[dict]:
    """A sample for each character: ``+`` is right, ``-`` wrong."""
    return [line(str(n), mark == "+", f"image {n // per_image}") for n, mark in enumerate(pattern)]
