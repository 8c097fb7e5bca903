"""What identifies an image of a cache: the content of its file, never only its name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

from clipbench.errors import DataError
from clipbench.types import ImageRef
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_write, read_regular

Stamp = list[int]  # size and time of change of a file


def identify(images: Sequence[ImageRef], dataset_fingerprint: str, folder: Path, pool: Executor) -> list[str]:
    """Identify images: by their files' content, in tars too; others by the data set's fingerprint and their key.

    Files with unchanged size and modification time are not read again.

    Args:
        images: The images.
        dataset_fingerprint: Changes with the content of images without a file of their own.
        folder: Where earlier sizes, times and contents are kept.
        pool: Threads that read.

    Raises:
        ResultError: The folder cannot be written.
    """
    memo = folder / f"{digest([ref.key for ref in images])[:32]}.contents.json"
    before = _read(memo, len(images))
    now = list(pool.map(_identify, images, before))
    if any(stamp for stamp, _ in now) and now != before:
        atomic_write(memo, json.dumps(now))
    return [content or digest([dataset_fingerprint, ref.key]) for (_, content), ref in zip(now, images, strict=True)]


def _identify(ref: ImageRef, before: tuple[Stamp, str]) -> tuple[Stamp, str]:
    if ref.digest is not None:
        return [], ref.digest.hex()
    if ref.path is None or ref.content is None:
        return [], ""
    try:
        stat = ref.path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        return before if before[0] == stamp else (stamp, ref.content().hex())
    except (OSError, DataError) as error:
        return [], f"cannot be read: {ref.key}: {type(error).__name__}"


def _read(memo: Path, count: int) -> list[tuple[Stamp, str]]:
    with suppress(OSError, ValueError, TypeError, RecursionError):
        entries = [(list(map(int, stamp)), str(content)) for stamp, content in json.loads(read_regular(memo))]
        if len(entries) == count:
            return entries
    return [([], "")] * count
