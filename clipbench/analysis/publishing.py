"""Results on the Hugging Face hub: as metadata of a model's card, and as a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.analysis.leaderboard.reading import Gathered
from clipbench.errors import ConfigError, ResultError
from clipbench.results import Results, read_results, sanitize
from clipbench.results.files import samples_path
from clipbench.results.hub_cards import card_results, eval_result_entries
from clipbench.utils.hub import error_status

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, HfApi

EVAL_RESULTS = ".eval_results/clipbench.yaml"
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
        repo_type: ``model`` or ``dataset``.
        files: Path in the repository to its bytes, or to the local file.
        card_results: Metrics that the card's metadata gets; those of the same name are replaced.
        card: The whole card, written only where the repository has none.
        notes: What stays behind, a line each.
    """

    repo_id: str
    repo_type: str
    files: dict[str, bytes | Path] = field(default_factory=dict)
    card_results: list[EvalResult] = field(default_factory=list)
    card: str | None = None
    notes: list[str] = field(default_factory=list)


def model_upload(paths: Sequence[Path], repo_id: str) -> Upload:
    """Metadata for a model's repository; of a task scored twice, the newer.

    Only complete results go out; others are named in the notes.

    Raises:
        ConfigError: The results are of several models.
        ResultError: They cannot be read, or none of them is complete.
    """
    import yaml
    from huggingface_hub import eval_result_entries_to_yaml

    runs = sorted((read_results(path) for path in paths), key=lambda results: results.date)
    names = sorted({f"{results.model_name} ({(results.model_fingerprint or '?')[:7]})" for results in runs})
    if len(names) > 1:
        raise ConfigError(f"model_repo takes the results of one model, and these are of {', '.join(names)}")
    found: dict[str | None, EvalResult] = {each.metric_name: each for results in runs for each in card_results(results)}
    entries = {(each.dataset_id, each.task_id): each for results in runs for each in eval_result_entries(results)}
    left_out = [
        f"{task} stays behind: it is not complete"
        for task in sorted({task for results in runs for task in results.tasks})
        if not any(each.metric_args and each.metric_args["task"] == task for each in found.values())
    ]
    if not found:
        raise ResultError(f"{paths[0]}: no complete result to put on a card")
    text = yaml.safe_dump(eval_result_entries_to_yaml(list(entries.values())), sort_keys=False, allow_unicode=True)
    files: dict[str, bytes | Path] = {EVAL_RESULTS: text.encode()} if entries else {}
    return Upload(repo_id, "model", files, list(found.values()), notes=left_out)


def dataset_upload(paths: Sequence[Path], repo_id: str, samples: bool = True) -> Upload:
    """Results, and samples where they were logged, as files of a dataset repository.

    Args:
        paths: Results files.
        repo_id: The repository.
        samples: Whether samples go too.

    Raises:
        ResultError: A file cannot be read.
    """
    files: dict[str, bytes | Path] = {}
    for path in paths:
        results = read_results(path)
        folder = sanitize(results.model_name)
        files[f"{folder}/{path.name}"] = path
        files[f"{folder}/{path.stem.replace('results_', 'scores_')}.jsonl"] = _score_lines(results, path).encode()
        logged = [samples_path(path, task) for task in results.tasks]
        files.update({f"{folder}/{each.name}": each for each in logged if samples and each.is_file()})
    return Upload(repo_id, "dataset", files, card=_CARD)


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
    if upload.card:
        lines += ["README.md, if there is none:", upload.card.rstrip()]
    for name, content in sorted(upload.files.items()):
        raw = content if isinstance(content, bytes) else content.read_bytes()
        origin = "" if isinstance(content, bytes) else f", from {content}"
        lines.append(f"{name}: {len(raw):,} bytes, sha256 {hashlib.sha256(raw).hexdigest()}{origin}")
        if isinstance(content, bytes):
            lines.append(raw.decode().rstrip())
    return "\n".join([*lines, *upload.notes]) + "\n"


def push(upload: Upload, api: HfApi | None = None, *, private: bool = False, create_pr: bool = False) -> str:
    """Send an upload, as one commit.

    Args:
        upload: What to send.
        api: The hub's client; the default one where left out, with ``HF_ENDPOINT`` and ``HF_TOKEN``.
        private: Make a repository that is not there yet a private one.
        create_pr: Open a pull request rather than commit.

    Returns:
        The commit's address.

    Raises:
        ResultError: The hub refuses or cannot be reached.
    """
    import huggingface_hub as hub

    client = api or hub.HfApi()

    def send() -> str:
        if not create_pr:
            client.create_repo(upload.repo_id, repo_type=upload.repo_type, private=private, exist_ok=True)
        operations = [
            hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in sorted(upload.files.items())
        ]
        there = client.file_exists(upload.repo_id, "README.md", repo_type=upload.repo_type)
        if upload.card_results:
            text = _fetch(client, upload) if there else None
            operations.append(hub.CommitOperationAdd("README.md", merged_card(text, upload).encode()))
        elif upload.card and not there:
            operations.append(hub.CommitOperationAdd("README.md", upload.card.encode()))
        commit = client.create_commit(
            upload.repo_id, operations, commit_message="Results of clipbench", repo_type=upload.repo_type,
            create_pr=create_pr,
        )  # fmt: skip
        return str(commit.pr_url or commit.commit_url)

    return _told(send, upload.repo_id)


def _fetch(client: HfApi, upload: Upload) -> str:
    path = client.hf_hub_download(upload.repo_id, "README.md", repo_type=upload.repo_type)
    return Path(path).read_text(encoding="utf-8")


def _told(send: Callable[[], str], repo_id: str) -> str:

    try:
        return send()
    except Exception as error:  # which classes there are depends on the hub client's HTTP library
        status = error_status(error)
        hint = "; log in with `hf auth login` or set HF_TOKEN" if status in (401, 403, 404) else ""
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ResultError(f"{repo_id}: the hub did not take it: {reason}{hint}") from None
