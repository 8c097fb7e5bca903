"""Naming the folders of models, and finding result files and the sample logs that belong to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from clipbench.errors import ResultError, UnknownName
from clipbench.utils.json_files import is_regular_file, read_json
from clipbench.utils.registry import close_matches

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")

_SEPARATORS = re.compile(r'[\s"<>:/|\\?*\[\]\x00-\x1f\x7f\ud800-\udfff]+')
_PREFIX = re.compile(r"((?:hf|open_clip|dual_encoder|in-memory)__)?((?:hf-hub|local-dir)__)?")
_DIGEST = re.compile(r"-[0-9a-f]{8}")
_LONGEST_NAME = 200  # bytes: file systems take 255, and files half-written have longer names


def sanitize(model_name: str) -> str:
    """A model's name as a directory name, in the way of lm-evaluation-harness.

    A digest is appended to a name that could collide with another one, or that a file system may not accept, so that
    no two models share a directory and none is outside its parent.

    Examples:
        >>> sanitize("openai/clip-vit-base-patch32"), sanitize("openai__clip-vit-base-patch32"), sanitize("../clip")
        ('openai__clip-vit-base-patch32', 'openai__clip-vit-base-patch32-672b99e6', 'clip-a5147661')
    """
    name = _SEPARATORS.sub("__", model_name)
    safe = not name.startswith(".") and not name.endswith(".") and len(name.encode()) <= _LONGEST_NAME
    if name and safe and _written(name) == model_name and not _DIGEST.fullmatch(name[-9:]):
        return name
    stem = name.encode()[-(_LONGEST_NAME - 9) :].decode(errors="ignore").strip("._") or "model"
    digest = hashlib.blake2b(model_name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{stem}-{digest}"


def _written(directory: str) -> str:
    """The only model name that maps to this directory name without a digest."""
    prefix = _PREFIX.match(directory)
    end = prefix.end() if prefix else 0
    return directory[:end].replace("__", ":") + directory[end:].replace("__", "/")


def result_files(place: Path) -> list[Path]:
    """The result files at a path: the file itself, or all below a directory, the newest last.

    Raises:
        ResultError: There is none.
    """
    if is_regular_file(place):
        return [place]
    found = find_result_files(place)
    if not found:
        raise ResultError(f"{place}: no results_*.json there; an evaluation with output_path writes them")
    return found


def find_result_files(folder: Path) -> list[Path]:
    """All result files below a directory, the newest last; none if it does not exist."""
    return sorted(_below(folder, "results_*.json"), key=lambda path: (path.name, path))


def _below(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.rglob(pattern))
    except (OSError, ValueError):  # a name that no folder can have
        return []


def samples_path(results_path: Path, task: str) -> Path:
    """The log of a task's samples that belongs to a result file."""
    return results_path.with_name(f"samples_{task}_{results_path.stem.removeprefix('results_')}.jsonl")


def logged_runs(place: Path) -> dict[str, Path]:
    """Tasks with logged samples, each with the result file of the newest run that logged them.

    Args:
        place: A result file, a sample log, or a directory with those of one model.

    Raises:
        ResultError: There are no samples, or those of several models.
    """
    if is_regular_file(place):
        time = place.name.removeprefix("results_").removesuffix(".json")
        literal = re.sub(r"([\[*?])", r"[\1]", time)
        samples = [place] if place.suffix == ".jsonl" else place.parent.glob(f"samples_*_{literal}.jsonl")
    else:
        samples = _below(place, "samples_*.jsonl")
    found = [(match, path) for path in samples if (match := _SAMPLES.fullmatch(path.name))]
    runs: dict[str, Path] = {}
    for match, path in sorted(found, key=lambda pair: pair[0]["time"]):
        runs[match["task"]] = path.with_name(f"results_{match['time']}.json")
    folders = sorted({path.parent for _, path in found})
    if not runs:
        raise ResultError(f"{place}: no samples there; evaluate with log_samples")
    if len(folders) > 1:
        names = ", ".join(map(str, folders[:5]))
        raise ResultError(f"{place}: samples of several models; name one of {names}")
    models = sorted(filter(None, {_model_of(path) for path in runs.values()})) if len(set(runs.values())) > 1 else []
    if len(models) > 1:  # in one folder: earlier versions used the same for a/b and a__b
        raise ResultError(f"{place}: samples of several models ({', '.join(models[:5])}); name one results file")
    return dict(sorted(runs.items()))


def _model_of(results_path: Path) -> str | None:
    try:
        return str(read_json(results_path, "result file")["model_name"])
    except (ResultError, LookupError, TypeError):  # reported when the file is needed
        return None


def choose_tasks(available: Mapping[str, object], wanted: str | None) -> list[str]:
    """The tasks that names and globs, joined by commas, match; all of them if nothing is asked for.

    Raises:
        UnknownName: A name that matches no task with samples.
    """
    if not wanted:
        return list(available)
    chosen: list[str] = []
    for name in filter(None, (part.strip() for part in wanted.split(","))):
        found = [task for task in available if fnmatchcase(task, name)]
        if not found:
            known = ", ".join(available) or "none"
            raise UnknownName(f"no samples of a task {name!r}{close_matches(name, available)}; available: {known}")
        chosen += [task for task in found if task not in chosen]
    return chosen
