"""Reading a WebDataset tar once, in order: its samples, their captions, and where in it their images lie."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, cast

from clipbench.data import remote
from clipbench.data.caption_cells import captions_in
from clipbench.data.image_files import IMAGE_SUFFIXES
from clipbench.data.images import MAX_BYTES
from clipbench.data.records import content_digest
from clipbench.data.shards import Shard
from clipbench.data.tar_samples import Picture, TarIndex, TarSample, Wanted
from clipbench.errors import DataError
from clipbench.utils.urls import without_secrets

_IMAGES = frozenset(suffix[1:] for suffix in IMAGE_SUFFIXES)
_TEXTS = ("txt", "caption", "text", "json")  # in order of preference
_CAPTION_KEYS = ("captions", "caption", "texts", "text", "sentences", "sentence", "raw")
_LONGEST_TEXT = 1 << 24  # bytes
_BUFFER = 1 << 20
_SHOWN = 20


class _Member(tarfile.TarInfo):
    """Also tells how a tar ends: ``tarfile`` takes a damaged or missing header for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            tar.ending = error  # type: ignore[attr-defined]
            raise


class _Unreadable(Exception):
    """A sample whose captions cannot be read."""


@dataclass
class _Group:
    """The members of one sample, as they come."""

    key: str
    pictures: dict[str, Picture] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)


class _Counted:
    """Counts the bytes that are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.count = stream, 0

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.count += len(piece)
        return piece


class TarScan:
    """One pass over a tar."""

    def __init__(self, shard: Shard, wanted: Wanted) -> None:
        self._shard, self._wanted = shard, wanted
        self._place = without_secrets(shard.location)
        self._samples: list[TarSample] = []
        self._unreadable: list[str] = []
        self._keys: set[str] = set()
        self._found: Counter[str] = Counter()
        self._uncaptioned = self._foreign = 0
        self._cut = ""

    def run(self) -> TarIndex:
        with self._shard.stream() as stream:
            group: _Group | None = None
            for key, name, member, content in self._members(_Counted(stream)):
                if group is None or group.key != key:
                    self._close(group)
                    group = _Group(key)
                self._add(group, name, member, content)
        self._close(group, last=True)
        found = tuple(name for name, _ in self._found.most_common(_SHOWN))
        return TarIndex(
            tuple(self._samples), self._uncaptioned, tuple(self._unreadable), self._cut, found, self._foreign
        )

    def _members(self, stream: _Counted) -> Iterator[tuple[str, str, tarfile.TarInfo, bytes]]:
        """Each file's key, the name after it in lower case, its place, and its content if that is needed."""
        if not self._shard.size:
            self._cut = "empty (0 bytes)"
            return
        try:
            with tarfile.open(fileobj=cast(Any, stream), mode="r|", bufsize=_BUFFER, tarinfo=_Member) as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # or it would keep all of them
                    folder, _, base = member.name.rpartition("/")
                    stem, dot, name = base.partition(".")
                    if not member.isfile() or not dot or not stem:
                        continue
                    key, name = f"{folder}/{stem}" if folder else stem, name.lower()
                    yield key.removeprefix("./"), name, member, self._content(tar, member, name)
                ending = getattr(tar, "ending", None)
                if isinstance(ending, tarfile.InvalidHeaderError):  # type: ignore[attr-defined]
                    self._cut = f"damaged at byte {tar.offset:,}"
                elif not isinstance(ending, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                    self._cut = "cut off"
        except tarfile.ReadError as error:
            if "unexpected end" not in str(error) and "truncated" not in str(error):
                raise DataError(f"{self._place}: not a tar, or a compressed one, to be unpacked ({error})") from None
            self._cut = "cut off"
        except Exception as error:  # whatever a server's file system raises
            raise remote.failure(self._shard.location, error) from error
        if self._cut and stream.count < self._shard.size:
            raise DataError(f"{self._place}: the connection ended early, at byte {stream.count:,}: try again")

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes:
        last = name.rpartition(".")[2]
        needed = last in _IMAGES or last in _TEXTS or name in self._names
        if not needed or member.size > (MAX_BYTES if last in _IMAGES else _LONGEST_TEXT):
            return b""
        file = tar.extractfile(member)
        return file.read() if file is not None else b""

    @property
    def _names(self) -> frozenset[str]:
        wanted = self._wanted
        return frozenset(
            (*wanted.images, *wanted.further_images, *wanted.captions, *wanted.false_captions, *wanted.fields)
        )

    def _add(self, group: _Group, name: str, member: tarfile.TarInfo, content: bytes) -> None:
        if name in group.pictures or name in group.texts:
            raise DataError(f"{self._place}: two files {group.key}.{name}: WebDataset has one of each for a sample")
        self._found[name] += 1
        if name.rpartition(".")[2] in _IMAGES:
            group.pictures[name] = Picture(name, member.offset_data, member.size, content_digest(content).hex())
        else:
            group.texts[name] = content

    def _close(self, group: _Group | None, *, last: bool = False) -> None:
        """Take a sample whose members have all been read."""
        if group is None:
            return
        if group.key in self._keys:
            raise DataError(f"{self._place}: two samples with the key {group.key}: their files must be side by side")
        self._keys.add(group.key)
        if last and self._cut and not (group.pictures and group.texts):
            return  # what is left of it
        try:
            sample = self._sample(group)
        except _Unreadable as error:
            self._unreadable.append(str(error))
            return
        if sample is not None:
            self._samples.append(sample)

    def _sample(self, group: _Group) -> TarSample | None:
        wanted = self._wanted
        data = self._json(group) if "json" in group.texts else {}
        captions = self._captions(group, data)
        if not captions:
            self._uncaptioned += bool(group.pictures)
            return None
        false = [text for name in wanted.false_captions for text in self._texts(group, data, name)]
        fields = {name: self._field(group, data, name) for name in wanted.fields}
        return TarSample(group.key, self._images(group), tuple(captions), tuple(false), fields)

    def _images(self, group: _Group) -> tuple[Picture | None, ...]:
        names, further = self._wanted.images, self._wanted.further_images
        if not names:
            names = tuple(name for name in group.pictures if name not in further)
            if len(names) > 1:
                raise DataError(
                    f"{self._place}: sample {group.key} has several images ({', '.join(names)}): name one, with"
                    " `images:` in a task file or with ?images= after the location"
                )
        images = [group.pictures.get(name) for name in names] or [None]
        return (*images, *(group.pictures.get(name) for name in further))

    def _captions(self, group: _Group, data: Mapping[str, Any]) -> list[str]:
        if names := self._wanted.captions:
            return [text for name in names for text in self._texts(group, data, name)]
        return next(filter(None, (self._texts(group, data, name) for name in _TEXTS)), [])

    def _texts(self, group: _Group, data: Mapping[str, Any], name: str) -> list[str]:
        """The texts of a member, or under a key of the JSON object."""
        if name in group.texts and name != "json":
            text = self._decoded(group.texts[name])
            lines = [line.strip() for line in text.split("\n")] if self._wanted.caption_a_line else [text.strip()]
            return [line for line in lines if line]
        if name == "json":
            name = next((key for key in _CAPTION_KEYS if key in data), "")
        try:
            found = captions_in(data.get(name), f"{self._place}: {group.key}.json, {name}")
        except DataError as error:
            raise _Unreadable(str(error)) from None
        return [text for text in (found if isinstance(found, list) else [found or ""]) if text]

    def _field(self, group: _Group, data: Mapping[str, Any], name: str) -> object:
        if name in group.pictures:
            return name
        value = self._decoded(group.texts[name]).strip() if name in group.texts else data.get(name)
        return value if isinstance(value, (str, int, float, bool, list)) else None

    def _json(self, group: _Group) -> Mapping[str, Any]:
        try:
            data = json.loads(group.texts["json"])
        except (ValueError, RecursionError) as error:
            raise _Unreadable(f"{self._place}: {group.key}.json is not JSON: {error}") from None
        data = data if isinstance(data, Mapping) else {"captions": data}
        self._found.update(f"json: {key}" for key in data)
        return data

    def _decoded(self, content: bytes) -> str:
        with suppress(UnicodeDecodeError):
            return content.decode("utf-8-sig")
        self._foreign += 1
        return content.decode("cp1252", "replace")
