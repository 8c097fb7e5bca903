"""WebDataset tars of captioned images, and img2dataset's, as a source of rows."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.data.columns import shorten
from clipbench.data.dataset import Dataset, HubTable, Provenance
from clipbench.data.layouts.img2dataset import download_losses
from clipbench.data.records import Record, RecordSource, absent_ref, content_digest
from clipbench.data.shards import Shard, find_shards
from clipbench.data.tar_index import index_of
from clipbench.data.tar_samples import Picture, TarIndex, TarSample, Wanted
from clipbench.errors import DataError
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize
from clipbench.utils.urls import is_url, without_secrets

if TYPE_CHECKING:
    from PIL import Image

_IMG2DATASET = re.compile(r"\d{5,}\.tar")
_AT_ONCE = 4  # tars read at the same time
_SHOWN = 3


def open_tars(location: str, dataset: Dataset, *, note: str = "") -> RecordSource:
    """Open tars; rows are samples with captions, in the order of the tars and in theirs.

    An image is read from its place in its tar when it is opened, so that memory holds captions only.

    Args:
        location: What ``clipbench.data.shards.find_shards`` takes.
        dataset: Its columns, if the user named some: members of samples, or keys of their JSON.
        note: Said to users of the rows.

    Raises:
        DataError: A tar cannot be read, or there is no caption.
    """
    folder = tar_cache()
    shards = find_shards(location, folder / "copies")
    img2dataset = all(_IMG2DATASET.fullmatch(shard.name.rpartition("/")[2]) for shard in shards)
    wanted = _wanted(dataset.hub, caption_a_line=not img2dataset)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        indexes = list(pool.map(lambda shard: index_of(shard, wanted, folder), shards))
    _require_samples(location, indexes, wanted, dataset.hub.required if dataset.hub else ())
    details = {"tars": str(len(shards)), "samples": str(sum(len(index.samples) for index in indexes))}
    if gap := "; ".join(filter(None, map(_gap, shards, indexes))):
        details["gap"] = gap
    layout = "img2dataset" if img2dataset else "webdataset"
    provenance = Provenance(layout, without_secrets(location), None, _fingerprint(shards, indexes), details)
    folders = {shard.path.parent for shard in shards if shard.path is not None and not is_url(shard.location)}
    losses = [download_losses(folder) for folder in sorted(folders)] if img2dataset else []
    for problem in (note, *losses, *_problems(shards, indexes)):
        provenance = provenance.with_problem(problem)
    there = [
        name
        for name in wanted.fields
        if any(sample.fields.get(name) is not None for index in indexes for sample in index.samples)
    ]
    return RecordSource(
        provenance,
        partial(_records, shards, indexes),
        tuple(there),
        dataset.hub.constants if dataset.hub else (),
    )


def tar_cache() -> Path:
    """The folder of indexes and copies of tars."""
    return Path(os.environ.get("CLIPBENCH_CACHE") or "~/.cache/clipbench").expanduser() / "tars"


def _wanted(table: HubTable | None, *, caption_a_line: bool) -> Wanted:
    if table is None:
        return Wanted(caption_a_line=caption_a_line)
    named = table.exact and not table.repo  # columns of the hub's repository are not those of tars
    return Wanted(
        tuple(map(_member, table.images)) if named else (),
        tuple(map(_member, table.captions)) if named else (),
        tuple(map(_member, table.false_captions)) if named else (),
        tuple(dict.fromkeys((*table.required, *table.fields))),
        caption_a_line,
        tuple(map(_member, table.further_images)),
    )


def _member(name: str) -> str:
    return name.removeprefix(".")


def _records(shards: Sequence[Shard], indexes: Sequence[TarIndex], where: Mapping[str, object]) -> Iterator[Record]:
    for shard, index in zip(shards, indexes, strict=True):
        for sample in index.samples:
            yield Record(
                f"{shard.name}/{sample.key}",
                sample.captions,
                partial(_images, shard, sample),
                sample.fields,
                sample.false_captions,
            )


def _images(shard: Shard, sample: TarSample) -> tuple[ImageRef, ...]:
    name = f"{shard.name}/{sample.key}"
    return tuple(
        absent_ref(f"the image of {name}") if picture is None else tar_ref(shard, picture, f"{name}.{picture.name}")
        for picture in sample.images
    )


def tar_ref(shard: Shard, picture: Picture, key: str) -> ImageRef:
    """A reference to an image in a tar."""
    digest = bytes.fromhex(picture.digest)
    return ImageRef(key, partial(_open, shard, picture, key), content=partial(bytes, digest), digest=digest)


def _open(shard: Shard, picture: Picture, key: str) -> Image.Image:
    from clipbench.data.images import decode

    content = shard.read(picture.offset, picture.size)
    if content_digest(content).hex() != picture.digest:
        raise DataError(f"{key}: {without_secrets(shard.location)} has changed while it was in use: start again")
    return decode(content, key)


def _fingerprint(shards: Sequence[Shard], indexes: Sequence[TarIndex]) -> str:
    """Of names, captions and the images' bytes; not of where the tars lie."""
    sha = hashlib.sha256()
    for shard, index in zip(shards, indexes, strict=True):
        for sample in index.samples:
            images = [(image.name, image.digest) if image else None for image in sample.images]
            texts = (sample.captions, sample.false_captions, sorted(sample.fields.items()))
            sha.update(repr((shard.name, sample.key, images, texts)).encode("utf-8", "surrogatepass"))
    return f"samples:sha256={sha.hexdigest()}"


def _gap(shard: Shard, index: TarIndex) -> str:
    """What a tar lacks."""
    found = []
    if index.cut:
        found.append(f"{shard.name} is {index.cut}: {pluralize(len(index.samples), 'whole sample')}")
    if index.unreadable:
        more = ", …" if len(index.unreadable) > _SHOWN else ""
        found.append(
            f"{pluralize(len(index.unreadable), 'sample')} of {shard.name} cannot be read"
            f" ({', '.join(index.unreadable[:_SHOWN])}{more})"
        )
    return "; ".join(found)


def _problems(shards: Sequence[Shard], indexes: Sequence[TarIndex]) -> Iterator[str]:
    if uncaptioned := sum(index.uncaptioned for index in indexes):
        yield f"{pluralize(uncaptioned, 'image')} without a caption not used"
    if foreign := sum(index.foreign for index in indexes):
        yield f"{pluralize(foreign, 'text')} read as Windows-1252 (Latin-1), not UTF-8"
    if empty := [shard.name for shard, index in zip(shards, indexes, strict=True) if not index.samples]:
        yield f"no sample with a caption in {shorten(empty)}"
    seen: set[object] = set()
    repeated = 0
    for index in indexes:
        for sample in index.samples:
            mark = (sample.key, *(image and image.digest for image in sample.images))
            repeated += mark in seen
            seen.add(mark)
    if repeated:
        yield f"{pluralize(repeated, 'sample')} there twice: with the same key and image in another tar"


def _require_samples(location: str, indexes: Sequence[TarIndex], wanted: Wanted, required: Sequence[str]) -> None:
    found = list(dict.fromkeys(name for index in indexes for name in index.found))
    place = without_secrets(location)
    for name in (*wanted.images, *wanted.further_images, *wanted.captions, *wanted.false_captions, *required):
        if name not in found and f"json: {name}" not in found:
            raise DataError(f"{place}: no sample has {name}; there are: {shorten(found) or 'no files'}")
    if any(index.samples for index in indexes):
        return
    cut = next((f" (one is {index.cut})" for index in indexes if index.cut), "")
    unreadable = next((f"; {index.unreadable[0]}" for index in indexes if index.unreadable), "")
    raise DataError(
        f"{place}: no sample with a caption{cut}: looked for .txt, .caption, or .json with captions, beside an image;"
        f" found {shorten(found) or 'no files'}{unreadable}"
    )
