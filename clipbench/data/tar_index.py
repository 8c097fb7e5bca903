"""What a WebDataset tar holds, as kept from an earlier run or read now.

A tar is read whole once, in order. What was found is kept in the cache folder, under the tar's location, size and time
of change, so that the next run starts at once. Every image's digest is kept too: equal indexes, equal data, wherever
the tars lie.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from clipbench.data.shards import Shard
from clipbench.data.tar_samples import Picture, TarIndex, TarSample, Wanted
from clipbench.data.tar_scan import TarScan
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_write, lock, read_regular
from clipbench.utils.urls import without_secrets

VERSION = 1


def index_of(shard: Shard, wanted: Wanted, folder: Path) -> TarIndex:
    """The index of a tar: as kept from an earlier run, or made now.

    Raises:
        DataError: The tar cannot be read, is no tar, or has two samples with one key.
    """
    key = digest([VERSION, without_secrets(shard.location), shard.size, shard.stamp, astuple(wanted)])
    kept = folder / f"{key[:32]}.json"
    if (index := _read(kept)) is not None:
        return index
    folder.mkdir(parents=True, exist_ok=True)
    with lock(kept.with_suffix(".lock")):
        if (index := _read(kept)) is None:
            index = TarScan(shard, wanted).run()
            atomic_write(kept, json.dumps(_as_json(index)))
    return index


def _as_json(index: TarIndex) -> list[object]:
    samples = [
        [sample.key, [image and astuple(image) for image in sample.images], sample.captions, sample.false_captions,
         sample.fields]
        for sample in index.samples
    ]  # fmt: skip
    return [samples, index.uncaptioned, index.unreadable, index.cut, index.found, index.foreign]


def _read(path: Path) -> TarIndex | None:
    with suppress(OSError, ValueError, TypeError, RecursionError):
        samples, uncaptioned, unreadable, cut, found, foreign = json.loads(read_regular(path))
        return TarIndex(tuple(map(_sample, samples)), uncaptioned, tuple(unreadable), cut, tuple(found), foreign)
    return None


def _sample(values: Sequence[Any]) -> TarSample:
    key, images, captions, false_captions, fields = values
    pictures = tuple(None if image is None else Picture(*image) for image in images)
    return TarSample(key, pictures, tuple(captions), tuple(false_captions), fields)
