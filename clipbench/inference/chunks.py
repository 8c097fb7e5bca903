"""Samples by the chunk: the unit that is scored, journaled, and assigned to one of several processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from clipbench.metrics import Floats
from clipbench.types import ImageRef, Sample, SampleError

_CHUNK_TEXTS = 4096  # enough to sort by length and to find repeats, little enough to report progress
_CHUNK_IMAGES = 256  # decoded pixels of two chunks are in memory at once: 600 kB each at 224 pixels

Item = Floats | SampleError
"""What is known of a sample: an array of two dimensions, or why an image cannot be read."""


@dataclass(frozen=True, slots=True)
class ChunkScores:
    """A chunk's scores.

    Attributes:
        items: One for each sample.
        truncated_texts: Distinct texts of the chunk that were cut to the model's context.
        content: Digest of the contents of the images that could be read; None if they cannot be identified.
        broken: Keys of the images that could not be read, and the reasons.
    """

    items: list[Item]
    truncated_texts: int
    content: bytes | None = None
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkGroup:
    """One chunk for each process, fewer at the end.

    Attributes:
        number: From 0.
        chunks: The samples.
        keys: A digest of each chunk, by the images' names; their content is compared when it is read.
    """

    number: int
    chunks: list[list[Sample]]
    keys: list[bytes]

    @property
    def samples(self) -> int:
        """How many samples there are in all chunks."""
        return sum(map(len, self.chunks))


def chunk_groups(samples: Iterable[Sample], processes: int, label: str, keyed: bool) -> Iterator[ChunkGroup]:
    """Cut samples into chunks, which do not depend on the number of processes, and group them.

    Args:
        samples: The samples.
        processes: Chunks per group.
        label: Prefix of the keys.
        keyed: Whether keys are needed; they cost a pass over all texts.
    """
    chunks, number = _chunks(samples), 0
    while some := list(islice(chunks, processes)):
        first = number * processes
        keys = [_key(f"{label} {first + index}", chunk) if keyed else b"" for index, chunk in enumerate(some)]
        yield ChunkGroup(number, some, keys)
        number += 1


def images_of(chunk: Iterable[Sample]) -> dict[str, ImageRef]:
    """The distinct images of some samples, by key."""
    return {ref.key: ref for sample in chunk for ref in sample.images}


def content_digest(keys: Iterable[bytes | None]) -> bytes | None:
    """One digest of the content keys of images, which have equal lengths; None if one is unknown."""
    found = list(keys)
    known = [key for key in found if key is not None]
    return hashlib.blake2b(b"".join(known), digest_size=16).digest() if len(known) == len(found) else None


def _key(label: str, chunk: list[Sample]) -> bytes:
    content = [[sample.id, [ref.key for ref in sample.images], list(sample.texts)] for sample in chunk]
    return hashlib.blake2b(json.dumps([label, content]).encode(), digest_size=16).digest()


def _chunks(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    texts, images = 0, set[str]()
    for sample in samples:
        chunk.append(sample)
        texts += len(sample.texts)
        for ref in sample.images:
            images.add(ref.key)
        if texts >= _CHUNK_TEXTS or len(images) >= _CHUNK_IMAGES:
            yield chunk
            chunk, texts, images = [], 0, set()
    if chunk:
        yield chunk
