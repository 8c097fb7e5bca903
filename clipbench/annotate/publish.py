"""An exported set on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from clipbench.analysis.publishing import Upload, check_repo_id
from clipbench.annotate.export import CARD, PARQUET, TASK
from clipbench.errors import ResultError


def set_upload(folder: Path, repo_id: str) -> Upload:
    """What an exported set's repository holds: the pairs, the card and the task, and nothing of who is still at work.

    Raises:
        ConfigError: The repository's name is invalid.
        ResultError: The set has not been exported.
    """
    check_repo_id("dataset_repo", repo_id)
    files = {name: folder / name for name in (PARQUET, CARD, TASK)}
    if missing := [name for name, path in files.items() if not path.is_file()]:
        raise ResultError(f"{folder}: no {missing[0]}: export the set first (`clipbench annotate export {folder}`)")
    return Upload(repo_id, "dataset", files=dict(files), message="A challenge set made with clipbench")
