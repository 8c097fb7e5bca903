"""YAML files of the hub into which results are merged: ``.eval_results`` of a model, ``eval.yaml`` of a benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clipbench.errors import ResultError

EVAL_RESULTS = ".eval_results/"
BENCHMARK = "eval.yaml"
_BEFORE = ".eval_results/clipbench.yaml"  # where earlier versions put the results of all benchmarks

Entry = Mapping[str, Any]


def eval_results_file(dataset_id: str) -> str:
    """The file of a benchmark's results, in a model's repository.

    Examples:
        >>> eval_results_file("phiyodr/InpaintCOCO")
        '.eval_results/phiyodr__InpaintCOCO.yaml'
    """
    return f"{EVAL_RESULTS}{dataset_id.replace('/', '__')}.yaml"


def merge_eval_results(there: Mapping[str, str], entries: Iterable[Entry]) -> dict[str, str | None]:
    """Merge entries into a repository's ``.eval_results/*.yaml``, one value per task of a benchmark.

    An entry replaces the one for the same benchmark and task, whichever file that is in, unless it is verified. All
    others are kept.

    Args:
        there: Path to text, for the existing files.
        entries: In the hub's format.

    Returns:
        Path to new text, for the files that change; None for a file to be deleted.

    Raises:
        ResultError: A file that would change is not a list of results.
    """
    files = {path: _entries(text) for path, text in there.items()}
    changed: dict[str, list[Entry]] = {}
    for entry in files.pop(_BEFORE, None) or []:
        _put(files, changed, entry, replace=False)
    for entry in entries:
        _put(files, changed, entry, replace=True)
    new: dict[str, str | None] = {path: _dump(content) for path, content in changed.items()}
    if _BEFORE in there and _entries(there[_BEFORE]) is not None:
        new[_BEFORE] = None
    return {path: text for path, text in new.items() if text != there.get(path, "")}


def _put(files: dict[str, list[Entry] | None], changed: dict[str, list[Entry]], entry: Entry, *, replace: bool) -> None:
    key = _key(entry)
    holding = next((path for path, content in files.items() if any(_key(each) == key for each in content or [])), None)
    path = holding or eval_results_file(key[0])
    content = files.setdefault(path, [])
    if content is None:
        raise ResultError(f"{path}: exists and is not a list of results: fix or remove it")
    known = [each for each in content if _key(each) == key]
    if known and (not replace or any(each.get("verifyToken") for each in known)):
        return
    place = content.index(known[0]) if known else len(content)
    files[path] = changed[path] = [*content[:place], entry, *(each for each in content[place:] if _key(each) != key)]


def _key(entry: Entry) -> tuple[str, str]:
    dataset = entry.get("dataset")
    found = dataset if isinstance(dataset, Mapping) else {}
    return str(found.get("id")), str(found.get("task_id"))


def _entries(text: str) -> list[Entry] | None:
    """A file's entries; None if it is something else."""
    content = _load(text)
    if content is None and not text.strip():
        return []
    is_list = isinstance(content, list) and all(isinstance(each, Mapping) for each in content)
    return list(content) if is_list else None


def merge_benchmark(text: str | None, benchmark: Mapping[str, Any]) -> str | None:
    """Declare a data set's tasks in its ``eval.yaml``; existing declarations are kept.

    Args:
        text: The existing file, or None.
        benchmark: ``name``, ``description``, ``evaluation_framework`` and ``tasks``.

    Returns:
        The new text; None if every task is already declared.

    Raises:
        ResultError: The existing file has another format.
    """
    if text is None:
        return _dump(dict(benchmark))
    there = _load(text)
    tasks = there.get("tasks") if isinstance(there, Mapping) else None
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise ResultError(f"{BENCHMARK}: exists and declares no list of tasks: fix or remove it")
    known = {task.get("id") for task in tasks}
    missing = [task for task in benchmark["tasks"] if task["id"] not in known]
    return _dump({**there, "tasks": [*tasks, *missing]}) if missing else None


def space_sdk(card: str) -> str | None:
    r"""What a Space's card says the Space is made with; None if it says nothing.

    Examples:
        >>> space_sdk("---\nsdk: static\n---\n"), space_sdk("# A card")
        ('static', None)
    """
    front = re.match(r"\s*---\s*?\n(.*?)\n---", card, re.DOTALL)
    facts = _load(front[1]) if front else None
    return str(facts["sdk"]) if isinstance(facts, Mapping) and "sdk" in facts else None


def _load(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return None


def _dump(content: Sequence[Entry] | Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
