"""Datasets on the Hugging Face hub: found, pinned to a commit, downloaded one split at a time, or streamed.

After a first run everything is read from the hub's cache (``HF_HOME``), offline too. ``HF_ENDPOINT``,
``HF_HUB_OFFLINE``, ``HF_DATASETS_OFFLINE`` and ``HF_TOKEN`` mean what they mean to the hub's own clients.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipbench.data.columns import choose_columns
from clipbench.data.dataset import Dataset, HubTable, Provenance
from clipbench.data.hub_errors import explained, unreachable
from clipbench.data.hub_splits import split_files
from clipbench.data.parquet import Files, open_parquet, open_table, quiet
from clipbench.data.records import RecordSource
from clipbench.errors import DataError
from clipbench.utils.hub import offline

_ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^:]+))?(:(?P<split>[^:]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit of a repository.

    Attributes:
        commit: 40 hex digits.
        names: Its files; of a cached one, those that were downloaded.
        folder: Where it lies, if it is only read from the cache.
    """

    commit: str
    names: tuple[str, ...]
    folder: Path | None = None


def parse_address(address: str, declared: HubTable | None) -> HubTable:
    """Read ``owner/name[@revision][:split]``; what it leaves out is as the dataset declares it.

    Raises:
        DataError: It is not of that form.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise DataError(f"hub:{address}: expected hub:owner/name, hub:owner/name@revision or hub:owner/name:split")
    repo, revision, split = match["repo"], match["revision"], match["split"]
    if declared is None:
        return HubTable(repo, revision or "main", split or "train", (), ())
    same = repo == declared.repo
    return replace(
        declared,
        repo=repo,
        revision=revision or (declared.revision if same else "main"),
        split=split or declared.split,
        config=declared.config if same else None,
    )


def open_hub(dataset: Dataset, table: HubTable, *, streaming: bool) -> RecordSource:
    """Open a dataset on the hub.

    Args:
        dataset: What is opened.
        table: Repository, revision and split.
        streaming: Fetch rows as they are read, and keep nothing.

    Raises:
        DataError: The hub is out of reach and the cache empty, or there is no such repository, revision,
            split or column; says which file to put where.
    """
    with explained(dataset, table.repo):
        snapshot = _find(table)
        where = table.repo if snapshot.folder is None else f"{table.repo} (as cached, the hub was not asked)"
        names = split_files(snapshot.names, _card(table, snapshot), config=table.config, split=table.split, where=where)
        provenance = _provenance(table, snapshot)
        if not names:
            return _open_other(dataset, table, snapshot, provenance, streaming=streaming)
        if streaming and snapshot.folder is None:
            paths = [f"hf://datasets/{table.repo}@{snapshot.commit}/{name}" for name in names]
        else:
            paths = [_download(table, snapshot, name) for name in names]
    files = Files(tuple(paths), Path(), table.repo)
    return open_parquet(files, dataset, provenance, streaming=streaming, declared=table)


def _find(table: HubTable) -> Snapshot:
    """The commit that a revision stands for and its files: from the hub, else from the cache."""
    from huggingface_hub import HfApi, snapshot_download

    trouble: Exception | None = None
    if not offline("HF_DATASETS_OFFLINE"):
        try:
            info = HfApi(library_name="clipbench").dataset_info(table.repo, revision=table.revision, timeout=30)
            names = tuple(sibling.rfilename for sibling in info.siblings or ())
            return Snapshot(info.sha or table.revision, names)
        except Exception as error:
            if not unreachable(error):
                raise
            trouble = error
    try:
        folder = Path(
            snapshot_download(table.repo, repo_type="dataset", revision=table.revision, local_files_only=True)
        )
    except Exception as error:
        raise (trouble or _offline_error(error)) from error
    names = tuple(file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file())
    if set(names) <= {"README.md"}:  # a first run that got no further
        raise trouble or _offline_error(FileNotFoundError(table.repo))
    return Snapshot(folder.name, names, folder)


def _offline_error(error: Exception) -> Exception:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return OfflineModeIsEnabled(str(error))


def _card(table: HubTable, snapshot: Snapshot) -> dict[str, Any] | None:
    """The metadata block of the README."""
    from huggingface_hub.repocard import metadata_load

    if "README.md" not in snapshot.names:
        return None
    return metadata_load(_download(table, snapshot, "README.md"))


def _download(table: HubTable, snapshot: Snapshot, name: str) -> str:
    """The local path of a file, fetched if need be; the cache keeps what is complete, and resumes."""
    from huggingface_hub import hf_hub_download

    if snapshot.folder is not None:
        return str(snapshot.folder / name)
    path = hf_hub_download(table.repo, name, repo_type="dataset", revision=snapshot.commit, library_name="clipbench")
    _remember(table, snapshot.commit)
    return str(path)


def _cache_folder(table: HubTable) -> Path:
    """Where the hub client keeps a repository: ``refs`` and ``snapshots``."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{table.repo.replace('/', '--')}"


def _remember(table: HubTable, commit: str) -> None:
    """Note in the cache what a branch stood for, as the hub client does when asked by branch.

    Files are asked for by commit, so that a push in mid-download cannot mix two versions; then the client
    notes nothing, and offline nobody would know which commit ``main`` was.
    """
    if _COMMIT.fullmatch(table.revision):
        return
    note = _cache_folder(table) / "refs" / table.revision
    if note.is_file() and note.read_text(encoding="utf-8") == commit:
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(commit, encoding="utf-8")


def _provenance(table: HubTable, snapshot: Snapshot) -> Provenance:
    part = f"{table.config or 'default'}/{table.split}"
    details = {"split": table.split, "requested_revision": table.revision}
    return Provenance("hub", table.repo, snapshot.commit, f"{table.repo}@{snapshot.commit}:{part}", details)


def _open_other(
    dataset: Dataset,
    table: HubTable,
    snapshot: Snapshot,
    provenance: Provenance,
    *,
    streaming: bool,
) -> RecordSource:
    """A repository without parquet: folders of images, CSV, archives, whatever ``datasets`` reads."""
    import datasets

    if streaming:
        raise DataError(f"{table.repo}: has no parquet files, and only parquet can be streamed: download it")
    with quiet():
        loaded = datasets.load_dataset(table.repo, name=table.config, split=table.split, revision=snapshot.commit)
    _remember(table, snapshot.commit)
    for file in loaded.cache_files:
        # Without the hub, datasets takes the newest copy in its cache, whatever revision was asked for.
        if snapshot.commit not in Path(file["filename"]).parts:
            raise DataError(f"{table.repo}: the cache holds another revision than {snapshot.commit}")
    columns = choose_columns(loaded.column_names, declared=table, where=table.repo)
    files = Files((), _cache_folder(table) / "snapshots" / snapshot.commit, table.repo)
    return open_table(loaded, columns, files, dataset, provenance)
