"""Which tasks of a run have logged samples, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from clipbench.analysis.contact_sheet import image_keys
from clipbench.errors import ResultError, UnknownName
from clipbench.utils.registry import close_matches

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")


def logged_runs(place: Path) -> dict[str, Path]:
    """Tasks with logged samples, and the results file of the newest run that logged them.

    Args:
        place: A results file, a samples file, or a folder with those of one model.

    Raises:
        ResultError: There are no samples, or those of several models.
    """
    if place.is_file():
        time = place.name.removeprefix("results_").removesuffix(".json")
        samples = [place] if place.suffix == ".jsonl" else place.parent.glob(f"samples_*_{_literal(time)}.jsonl")
    else:
        samples = place.rglob("samples_*.jsonl")
    runs: dict[str, Path] = {}
    found = [(match, path) for path in samples if (match := _NAME.fullmatch(path.name))]
    for match, path in sorted(found, key=lambda pair: pair[0]["time"]):
        runs[match["task"]] = path.with_name(f"results_{match['time']}.json")
    folders = sorted({path.parent for _, path in found})
    if not runs:
        raise ResultError(f"{place}: no samples there; run clipbench eval with --log_samples")
    if len(folders) > 1:
        names = ", ".join(map(str, folders[:5]))
        raise ResultError(f"{place}: samples of several models; name one of {names}")
    return dict(sorted(runs.items()))


def _literal(text: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", text)


def choose_tasks(available: Mapping[str, object], wanted: str | None) -> list[str]:
    """The tasks that names and globs, joined by commas, ask for; all of them where nothing is asked for.

    Raises:
        UnknownName: A name that no task with samples answers to.
    """
    if not wanted:
        return list(available)
    chosen: list[str] = []
    for name in filter(None, (part.strip() for part in wanted.split(","))):
        found = [task for task in available if fnmatchcase(task, name)]
        if not found:
            known = ", ".join(available) or "none"
            raise UnknownName(f"no samples of a task {name!r}{close_matches(name, available)}; there are: {known}")
        chosen += [task for task in found if task not in chosen]
    return chosen


def cluster_of(line: Mapping[str, Any]) -> str:
    """The image whose samples hang together, as in :class:`clipbench.types.Sample`."""
    return str(line.get("cluster") or image_keys(line)[0])
