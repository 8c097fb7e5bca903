"""Results on the Hugging Face hub: as metadata of a model's card, and as a dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.analysis.hub_files import (
    BENCHMARK,
    EVAL_RESULTS,
    merge_benchmark,
    merge_eval_results,
)
from clipbench.analysis.leaderboard.reading import Gathered
from clipbench.errors import ConfigError, ResultError
from clipbench.results import Results, read_results, sanitize
from clipbench.results.files import samples_path
from clipbench.results.hub_cards import card_results, eval_result_entries, hub_data
from clipbench.task_types.registry import known_tasks

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_REPO_ID = re.compile(r"(?!.*(--|\.\.|\.git$))\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
_CARD = """---
tags: [clip, clipbench]
configs:
- config_name: scores
  data_files: "*/scores_*.jsonl"
---
# Results of clipbench

A folder a model: `results_*.json` is a run, `scores_*.jsonl` the same with a line a task, `samples_*.jsonl` every
sample's texts and scores.
"""


@dataclass(frozen=True)
class Upload:
    """What goes to one repository, in one commit.

    Attributes:
        repo_id: The repository.
        repo_type: ``model``, ``dataset`` or ``space``, a static one.
        files: Path in the repository to its bytes, or to the local file.
        card_results: Metrics that the card's metadata gets; those of the same name are replaced.
        entries: Results for ``.eval_results/*.yaml``, merged into existing files.
        benchmark: What ``eval.yaml`` declares, merged into an existing one.
        card: The whole card, written only where the repository has none.
        replaced: Beginnings of paths; what the repository has there and ``files`` has not is removed.
        notes: What is left out, one line each.
        message: Of the commit.
    """

    repo_id: str
    repo_type: str
    files: dict[str, bytes | Path] = field(default_factory=dict)
    card_results: list[EvalResult] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    benchmark: Mapping[str, Any] | None = None
    card: str | None = None
    replaced: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    message: str = "Results of clipbench"


def check_repo_id(field: str, repo_id: str) -> None:
    """Refuse an invalid repository name.

    Raises:
        ConfigError: It is invalid.
    """
    if not _REPO_ID.fullmatch(repo_id):
        raise ConfigError(f"{field} {repo_id!r}: not OWNER/NAME of letters, digits, `-`, `_` and `.`")


def model_upload(paths: Sequence[Path], repo_id: str, results_repo: str | None = None) -> Upload:
    """Metadata for a model's repository; of a task scored twice, the newer.

    Only complete results go out; others are named in the notes.

    Args:
        paths: Results files.
        repo_id: The model's repository.
        results_repo: The data set that the files are pushed to (``dataset_upload``), named as their source.

    Raises:
        ConfigError: The results are of several models, or a repository cannot have this name.
        ResultError: They cannot be read, or none of them is complete.
    """
    from huggingface_hub import constants, eval_result_entries_to_yaml

    check_repo_id("model_repo", repo_id)
    read = sorted(((path, read_results(path)) for path in paths), key=lambda pair: pair[1].date)
    runs = [results for _, results in read]
    names = sorted({f"{results.model_name} ({(results.model_fingerprint or '?')[:7]})" for results in runs})
    if len(names) > 1:
        raise ConfigError(f"model_repo takes the results of one model, and these are of {', '.join(names)}")
    found: dict[str | None, EvalResult] = {each.metric_name: each for results in runs for each in card_results(results)}
    entries = {}
    for path, results in read:
        place = f"{constants.ENDPOINT}/datasets/{results_repo}/blob/main/{_folder(results)}/{path.name}"
        for entry in eval_result_entries(results, place if results_repo else None):
            entries[entry.dataset_id, entry.task_id] = entry
    left_out = [
        f"{task} is left out: it is not complete"
        for task in sorted({task for results in runs for task in results.tasks})
        if not any(each.metric_args and each.metric_args["task"] == task for each in found.values())
    ]
    if not found:
        raise ResultError(f"{paths[0]}: no complete result to put on a card")
    written = eval_result_entries_to_yaml(list(entries.values()))
    return Upload(repo_id, "model", {}, list(found.values()), written, notes=left_out)


def benchmark_upload(paths: Sequence[Path], repo_id: str) -> Upload:
    """The ``eval.yaml`` that makes a data set on the hub a benchmark: its tasks, as results and clipbench name them.

    Raises:
        ConfigError: No result is of this data, or a repository cannot have this name.
        ResultError: A file cannot be read.
    """
    check_repo_id("benchmark_repo", repo_id)
    tasks: dict[str, dict[str, Any]] = {}
    others = set()
    for results in map(read_results, paths):
        for task, result in results.tasks.items():
            hub = hub_data(result)
            others.add(hub.get("repo"))
            if hub.get("repo") == repo_id:
                tasks[task] = {"id": task, "config": hub.get("config") or "default", "split": hub.get("split")}
    if not tasks:
        there = ", ".join(sorted(filter(None, others))) or "none from the hub"
        raise ConfigError(f"benchmark_repo {repo_id}: no result is of this data; the results are of: {there}")
    for known in known_tasks():
        declared = known.dataset.hub
        if declared and declared.repo == repo_id:
            tasks[known.name] = {"id": known.name, "config": declared.config or "default", "split": declared.split}
    benchmark = {
        "name": repo_id.split("/")[1],
        "description": "Do CLIP-like models tell these captions and images apart? Scored by clipbench.",
        "evaluation_framework": "clipbench",
        "tasks": [{key: value for key, value in tasks[task].items() if value is not None} for task in sorted(tasks)],
    }
    return Upload(repo_id, "dataset", benchmark=benchmark)


def dataset_upload(paths: Sequence[Path], repo_id: str, samples: bool = True) -> Upload:
    """Results, and samples where they were logged, as files of a dataset repository.

    Args:
        paths: Results files.
        repo_id: The repository.
        samples: Whether samples go too.

    Raises:
        ConfigError: A repository cannot have this name.
        ResultError: A file cannot be read.
    """
    check_repo_id("dataset_repo", repo_id)
    files: dict[str, bytes | Path] = {}
    for path in paths:
        results = read_results(path)
        folder = _folder(results)
        files[f"{folder}/{path.name}"] = path
        files[f"{folder}/{path.stem.replace('results_', 'scores_')}.jsonl"] = _score_lines(results, path).encode()
        logged = [samples_path(path, task) for task in results.tasks]
        files.update({f"{folder}/{each.name}": each for each in logged if samples and each.is_file()})
    return Upload(repo_id, "dataset", files, card=_CARD)


def _folder(results: Results) -> str:
    """The folder of a model's files in a data set."""
    return sanitize(results.model_name)


def _score_lines(results: Results, path: Path) -> str:
    gathered = Gathered()
    gathered.add_results(results, Path(path.name))  # the name alone: paths are private
    lines = [score.model_dump(exclude={"breakdown", "confusion", "rank", "published"}) for score in gathered.scores]
    return "".join(json.dumps({**line, "model": results.model_name}, ensure_ascii=False) + "\n" for line in lines)


def merged_card(text: str | None, upload: Upload) -> str:
    """A model card with the upload's metrics in its metadata; everything else in it stays.

    Args:
        text: The card that is there, or None.
        upload: With ``card_results``.
    """
    from huggingface_hub import ModelCard, ModelCardData

    card = ModelCard(text) if text else ModelCard(f"---\n{ModelCardData(tags=['clip', 'clipbench'])}\n---\n")
    data: Any = card.data
    names = {each.metric_name for each in upload.card_results}
    kept = [each for each in data.eval_results or [] if each.metric_name not in names]
    data.eval_results = [*kept, *upload.card_results]
    data.model_name = data.model_name or upload.repo_id.split("/")[-1]
    return str(card)


def describe(upload: Upload) -> str:
    """Exactly what an upload holds, as text: generated files whole, local ones by size and digest."""
    lines = [f"{upload.repo_type} {upload.repo_id}"]
    if upload.card_results:
        lines += ["README.md, merged into the card that is there:", merged_card(None, upload).rstrip()]
    for name, text in merge_eval_results({}, upload.entries).items():
        lines += [f"{name}, merged into the files of {EVAL_RESULTS} that are there:", (text or "").rstrip()]
    if upload.benchmark:
        text = merge_benchmark(None, upload.benchmark) or ""
        lines += [f"{BENCHMARK}, merged into the one that is there:", text.rstrip()]
    if upload.card:
        lines += ["README.md, if there is none:", upload.card.rstrip()]
    lines += [f"{start}: all that is there and not named below is removed" for start in upload.replaced]
    for name, content in sorted(upload.files.items()):
        raw = content if isinstance(content, bytes) else content.read_bytes()
        origin = "" if isinstance(content, bytes) else f", from {content}"
        lines.append(f"{name}: {len(raw):,} bytes, sha256 {hashlib.sha256(raw).hexdigest()}{origin}")
        if isinstance(content, bytes):
            lines.append(raw.decode().rstrip())
    return "\n".join([*lines, *upload.notes]) + "\n"
