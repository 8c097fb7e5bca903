"""WebDataset tars of mined samples: what the samples were, and their keyword and hard negatives in their JSON."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from clipbench.data.shards import Shard, find_shards
from clipbench.data.tar_index import index_of
from clipbench.data.tar_samples import Wanted
from clipbench.data.tars import tar_cache
from clipbench.data.text_files import parse_json
from clipbench.errors import DataError
from clipbench.mining.captions import CaptionMiner
from clipbench.utils.urls import without_secrets

_BUFFER = 1 << 20


def write_tar(path: Path, location: str, miner: CaptionMiner, column: str | None) -> str:
    """Write the samples of a tar that have a caption with a keyword.

    Their files stay as they are but for two: ``.json`` gains ``keyword`` and ``neg_caption``, and ``.txt`` is the
    caption, the first one with a keyword. No file is written if there is none.

    Returns:
        What is wrong with the tar, or nothing: it is cut off, or captions cannot be read.

    Raises:
        DataError: The tar cannot be read, or its JSON has these fields already.
    """
    (shard,) = find_shards(location, tar_cache())
    index = index_of(shard, Wanted(captions=(column,) if column else ()), tar_cache())
    captions = [(sample.key, caption) for sample in index.samples for caption in sample.captions]
    mined: dict[str, tuple[str, dict[str, Any]]] = {}
    for row, keyword, negatives in zip(*miner.mine([caption for _, caption in captions]), strict=True):
        key, caption = captions[row]
        mined.setdefault(key, (caption, {"keyword": keyword, "neg_caption": negatives}))
    miner.counts.unreadable += len(index.unreadable)
    if mined:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as out:
            for name, content in _samples(shard, mined):
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), 0
                out.addfile(member, io.BytesIO(content))
    name = without_secrets(location)
    cut = f"{name}: {index.cut}: {len(index.samples):,} whole samples" if index.cut else ""
    return cut or (f"{name}: {index.unreadable[0]}" if index.unreadable else "")


def _samples(shard: Shard, mined: Mapping[str, tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of the mined samples, in order."""
    last: tuple[str, str] | None = None
    data: dict[str, Any] = {}
    for key, stem, name, content in _files(shard):
        if last is not None and last[0] != key:
            yield from _texts(last[1], mined[last[0]], data)
            last, data = None, {}
        if key not in mined:
            continue
        last = key, stem
        if name == "json":
            data = _parsed(content, f"{without_secrets(shard.location)}: {stem}.json")
        elif name != "txt":
            yield f"{stem}.{name}", content
    if last is not None:
        yield from _texts(last[1], mined[last[0]], data)


def _texts(stem: str, found: tuple[str, dict[str, Any]], data: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    caption, fields = found
    yield f"{stem}.txt", caption.encode()
    yield f"{stem}.json", json.dumps({**data, **fields}, ensure_ascii=False).encode()


def _files(shard: Shard) -> Iterator[tuple[str, str, str, bytes]]:
    """The key, the path without suffixes, the suffixes in lower case, and the content of each file."""
    with shard.stream() as stream:
        try:
            with tarfile.open(fileobj=cast(Any, stream), mode="r|", bufsize=_BUFFER) as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # or it would keep all of them
                    folder, _, base = member.name.rpartition("/")
                    stem, dot, suffixes = base.partition(".")
                    file = tar.extractfile(member) if member.isfile() and dot and stem else None
                    if file is not None:
                        whole = f"{folder}/{stem}" if folder else stem
                        yield whole.removeprefix("./"), whole, suffixes.lower(), file.read()
        except tarfile.ReadError:
            return  # cut off; the index knows, and has whole samples only


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    data = parse_json(content, where)
    if not isinstance(data, dict):
        raise DataError(f"{where}: expected an object")
    if taken := data.keys() & {"keyword", "neg_caption"}:
        raise DataError(f"{where}: it has {min(taken)} already: rename it")
    return data
