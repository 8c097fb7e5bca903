"""Maintenance of the embedding cache: listing, verifying and removing embeddings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clipbench.errors import ResultError, UnknownName
from clipbench.inference.embedding_cache.cache import MODEL_FILE, drop_shard, embeddings_folder
from clipbench.inference.embedding_cache.shards import PART_SUFFIX, SUFFIX, DamagedShard, Shard, read_shard
from clipbench.utils.files import read_regular
from clipbench.utils.registry import close_matches

_STALE_SECONDS = 3600  # no live process takes that long to write one shard
_SHORTEST_KEY = 6  # digits that may abbreviate a space's key


@dataclass(frozen=True, slots=True)
class CachedSpace:
    """One model's embeddings in a cache.

    Attributes:
        key: The space's key, the folder's name.
        model: The model as the user named it; empty if unknown.
        precision: Of the encoders.
        device: What they ran on.
        images: Number of image embeddings.
        texts: Number of text embeddings.
        size: Bytes on disk.
        last_used: When a run last opened it, in seconds since the epoch.
        folder: Its folder.
    """

    key: str
    model: str
    precision: str
    device: str
    images: int
    texts: int
    size: int
    last_used: float
    folder: Path


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged shard.

    Attributes:
        path: The file.
        reason: What is wrong with it, in a few words.
        dropped: It has been removed; false where that is not permitted.
    """

    path: Path
    reason: str
    dropped: bool


def list_spaces(folder: Path) -> list[CachedSpace]:
    """The spaces in a cache folder, most recently used first."""
    spaces = []
    for path in _space_folders(folder):
        with suppress(FileNotFoundError):  # another process has just removed it
            spaces.append(_describe(path))
    return sorted(spaces, key=lambda space: (-space.last_used, space.key))


def remove(folder: Path, model: str | None = None) -> list[CachedSpace]:
    """Remove embeddings. Only files of the cache are touched.

    Args:
        folder: The cache folder.
        model: The model's name, or its key or a prefix of it; None for all models.

    Returns:
        What was removed.

    Raises:
        UnknownName: No embeddings of that model.
        ResultError: A file cannot be removed.
    """
    spaces = list_spaces(folder)
    chosen = [space for space in spaces if model is None or _is_called(space, model)]
    if model is not None and not chosen:
        near = close_matches(model, [space.model for space in spaces])
        raise UnknownName(f"no embeddings of {model!r} in {embeddings_folder(folder)}{near}: see `clipbench cache ls`")
    for space in chosen:
        try:
            for path in _files(space.folder):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ResultError(f"{space.folder}: cannot be removed: {error.strerror}") from error
        with suppress(OSError):  # it holds other files, or a run has just added to it
            space.folder.rmdir()
    return chosen


def verify(folder: Path, on_progress: Callable[[str, int, int | None], None] | None = None) -> Iterator[Damage]:
    """Check every shard against its checksum and drop those that fail, along with files left by killed processes.

    Args:
        folder: The cache folder.
        on_progress: Called with what is checked, shards done, and shards in all.

    Yields:
        The damaged shards.
    """
    files = [path for space in _space_folders(folder) for path in _files(space)]
    for path in files:
        if path.suffix == PART_SUFFIX:
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
    shards = [path for path in files if path.suffix == SUFFIX]
    for done, path in enumerate(shards, 1):
        try:
            shard = read_shard(path, path.parent.name)
            shard.read_keys()
            shard.check()
        except DamagedShard as error:
            drop_shard(path)
            yield Damage(path, str(error), not path.exists())
        except FileNotFoundError:  # removed by another process meanwhile
            pass
        if on_progress:
            on_progress("shards", done, len(shards))


def _space_folders(folder: Path) -> list[Path]:
    home = embeddings_folder(folder)
    return [path for path in sorted(home.iterdir()) if path.is_dir()] if home.is_dir() else []


def _files(space: Path) -> list[Path]:
    """The files of a space that the cache wrote; none where another process has just removed it."""
    if not space.is_dir():
        return []
    return [path for path in sorted(space.iterdir()) if path.name == MODEL_FILE or path.suffix in (SUFFIX, PART_SUFFIX)]


def _describe(folder: Path) -> CachedSpace:
    name = folder / MODEL_FILE
    space = CachedSpace(folder.name, "", "", "", 0, 0, 0, folder.stat().st_mtime, folder)
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        said = json.loads(read_regular(name))
        space = replace(space, model=str(said["model"]), precision=said["precision"], device=said["device"])
        space = replace(space, last_used=name.stat().st_mtime)
    counts, size = {"images": 0, "texts": 0}, 0
    for path in _files(folder):
        with suppress(OSError):
            size += path.stat().st_size
        with suppress(DamagedShard, OSError):
            shard: Shard | None = read_shard(path, folder.name) if path.suffix == SUFFIX else None
            if shard and shard.kind in counts:
                counts[shard.kind] += shard.count
    return replace(space, images=counts["images"], texts=counts["texts"], size=size)


def _is_called(space: CachedSpace, model: str) -> bool:
    return model == space.model or (len(model) >= _SHORTEST_KEY and space.key.startswith(model))
