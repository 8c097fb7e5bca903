"""The samples of a WebDataset tar: what is read of them, and where their images lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
