"""What a WebDataset tar holds: its samples, their captions, and where in it their images lie.

A tar is read whole once, in order. What was found is kept in the cache folder, under the tar's location, size and time
of change, so that the next run starts at once. Every image's digest is kept too: equal indexes, equal data, wherever
the tars lie.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from clipbench.data import remote
from clipbench.data.caption_cells import captions_in
from clipbench.data.image_files import IMAGE_SUFFIXES
from clipbench.data.images import MAX_BYTES
from clipbench.data.records import content_digest
from clipbench.data.shards import Shard
from clipbench.errors import DataError
from clipbench.utils.digest import digest
from clipbench.utils.files import atomic_write, lock, read_regular
from clipbench.utils.urls import without_secrets

VERSION = 1
_IMAGES = frozenset(suffix[1:] for suffix in IMAGE_SUFFIXES)
_TEXTS = ("txt", "caption", "text", "json")  # in order of preference
_CAPTION_KEYS = ("captions", "caption", "texts", "text", "sentences", "sentence", "raw")
_LONGEST_TEXT = 1 << 24  # bytes
_BUFFER = 1 << 20
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read from samples: names of members (``jpg``, ``0.txt``) or of keys of a sample's JSON object.

    Attributes:
        images: Members with the images; empty: the one image of each sample.
        captions: Members or keys with the captions; empty: .txt, .caption, or the caption in .json.
        false_captions: Members or keys.
        fields: Members or keys.
        caption_a_line: Whether each line of a text member is a caption; otherwise, the whole member is one.
        further_images: Members with images that come after the others.
    """

    images: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    false_captions: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    caption_a_line: bool = True
    further_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in a tar: the member's name after the sample's key, its place, and the digest of its bytes (hex)."""

    name: str
    offset: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class TarSample:
    """A sample: all members with one key. ``images`` has None for an image that is not there."""

    key: str
    images: tuple[Picture | None, ...]
    captions: tuple[str, ...]
    false_captions: tuple[str, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The samples of a tar.

    Attributes:
        samples: Those with captions, in order.
        uncaptioned: Images without captions.
        unreadable: What is wrong with samples whose captions cannot be read.
        cut: Why the tar is not whole; empty for one that is.
        found: The names of members and JSON keys that there are, for messages.
        foreign: Texts that are not UTF-8, and were read as Windows-1252.
    """

    samples: tuple[TarSample, ...]
    uncaptioned: int
    unreadable: tuple[str, ...]
    cut: str
    found: tuple[str, ...]
    foreign: int


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
            index = _Scan(shard, wanted).run()
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


class _Scan:
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
