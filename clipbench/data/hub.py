"""Datasets on the Hugging Face hub: resolved to a commit, downloaded one split at a time, or streamed.

After the first run everything is read from the hub's cache (``HF_HOME``), even offline. ``HF_ENDPOINT``,
``HF_HUB_OFFLINE``, ``HF_DATASETS_OFFLINE`` and ``HF_TOKEN`` have the same effect as in the hub's own clients.
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
from clipbench.utils.hub import cache_if_unreached, offline

_ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^:]+))?(:(?P<split>[^:]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit of a repository.

    Attributes:
        commit: 40 hex digits.
        names: Its files; if it is cached, those that were downloaded.
        folder: Its folder in the cache, if the hub is not used.
    """

    commit: str
    names: tuple[str, ...]
    folder: Path | None = None


def parse_address(address: str, declared: HubTable | None) -> HubTable:
    """Read ``owner/name[@revision][:split]``; missing parts are taken from the declaration.

    Raises:
        DataError: The address is invalid.
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
        dataset: The dataset.
        table: Repository, revision and split.
        streaming: Fetch rows as they are read, and store nothing.

    Raises:
        DataError: The hub is unreachable and the cache is empty, or the repository, revision, split or column does
            not exist; the message says how to arrange a local copy.
    """
    with cache_if_unreached(not offline("HF_DATASETS_OFFLINE")), explained(dataset, table.repo):
        snapshot = _find(table)
        where = table.repo if snapshot.folder is None else f"{table.repo} (from the cache, without the hub)"
        names = split_files(snapshot.names, _card(table, snapshot), config=table.config, split=table.split, where=where)
        provenance = _provenance(table, snapshot)
        if not names:
            return _open_other(dataset, table, snapshot, provenance, streaming=streaming)
        if streaming and snapshot.folder is None:
            paths = [f"hf://datasets/{table.repo}@{snapshot.commit}/{name}" for name in names]
        else:
            paths = [_download(table, snapshot, name) for name in names]
    files = Files(tuple(paths), Path(dataset.image_folder or ""), table.repo)
    return open_parquet(files, dataset, provenance, streaming=streaming, declared=table)


def _find(table: HubTable) -> Snapshot:
    """Resolve a revision to a commit and its files: from the hub, else from the cache."""
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
    if set(names) <= {"README.md"}:  # the first run was interrupted before any data file
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
    """The local path of a file, which is downloaded if necessary; interrupted downloads are resumed."""
    from huggingface_hub import hf_hub_download

    if snapshot.folder is not None:
        return str(snapshot.folder / name)
    path = hf_hub_download(table.repo, name, repo_type="dataset", revision=snapshot.commit, library_name="clipbench")
    _remember(table, snapshot.commit)
    return str(path)


def _cache_folder(table: HubTable) -> Path:
    """The hub client's cache of a repository: ``refs`` and ``snapshots``."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{table.repo.replace('/', '--')}"


def _remember(table: HubTable, commit: str) -> None:
    """Record the commit of a branch in the cache, as the hub client does for files requested by branch.

    Files are requested by commit, so that a push during the download cannot mix two versions. The client then
    records no branch, and ``main`` could not be resolved offline.
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


def _open_tars(table: HubTable, snapshot: Snapshot, provenance: Provenance, tars: list[str]) -> RecordSource:
    """Labeled images in WebDataset tars, which are in a folder named after the split."""
    from clipbench.data.layouts import webdataset

    wanted = [name for name in tars if name.startswith(f"{table.split}/")]
    if not wanted:
        raise DataError(f"{table.repo}: no tars in {table.split}/; found {', '.join(tars[:5])}")
    for name in snapshot.names:
        if name.endswith(".txt"):
            _download(table, snapshot, name)
    paths = tuple(Path(_download(table, snapshot, name)) for name in wanted)
    return webdataset.open_layout(paths, table.repo, provenance=provenance)


def _open_other(
    dataset: Dataset,
    table: HubTable,
    snapshot: Snapshot,
    provenance: Provenance,
    *,
    streaming: bool,
) -> RecordSource:
    """A repository without parquet files: image folders, CSV, archives and anything else that ``datasets`` reads."""
    import datasets

    if table.label and (tars := [name for name in snapshot.names if name.endswith(".tar")]):
        return _open_tars(table, snapshot, provenance, tars)
    if streaming:
        raise DataError(f"{table.repo}: has no parquet files, and only parquet can be streamed: set streaming to false")
    with quiet():
        loaded = datasets.load_dataset(table.repo, name=table.config, split=table.split, revision=snapshot.commit)
    _remember(table, snapshot.commit)
    for file in loaded.cache_files:
        # Without the hub, datasets uses the newest copy in its cache, even of another revision.
        if snapshot.commit not in Path(file["filename"]).parts:
            raise DataError(f"{table.repo}: the cache holds a revision other than {snapshot.commit}")
    columns = choose_columns(loaded.column_names, declared=table, where=table.repo)
    folder = _cache_folder(table) / "snapshots" / snapshot.commit
    files = Files((), Path(dataset.image_folder or folder), table.repo)
    return open_table(loaded, columns, files, dataset, provenance)
