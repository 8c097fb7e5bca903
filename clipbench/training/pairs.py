"""Training pairs: each caption with a keyword, and its image (§3 of the paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Concept
from clipbench.data import Provenance
from clipbench.errors import ConfigError
from clipbench.training.negatives import Negatives
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize


@dataclass(frozen=True)
class TrainingPairs:
    """Captions with their images.

    Attributes:
        images: Distinct images.
        image_of: ``(n,)``; ``images[image_of[i]]`` is the image of caption i.
        captions: The captions.
        ids: Names the captions in messages.
        provenance: Where they came from.
        negatives: Their hard negatives; None if there are none.
        negative_images: ``(n, m)``; ``images[negative_images[i, j]]`` is a hard negative image of caption i, and -1
            means that it has no j-th one. None if no caption has any.
        left_out: Captions whose image is missing or broken.
        pools: ``(n,)``; 0 for the captions that training is about, else the part of ``mixed`` that caption i comes
            from, counted from 1. None: all are 0.
        mixed: Parts of a mix: name to where its captions came from.
        content_of: ``(len(images),)``; for each image the first with the same content, mostly itself; None: all differ.
    """

    images: list[ImageRef]
    image_of: NDArray[np.int64]
    captions: list[str]
    ids: list[str]
    provenance: Provenance
    negatives: Negatives | None = None
    negative_images: NDArray[np.int64] | None = None
    left_out: int = 0
    pools: NDArray[np.int64] | None = None
    mixed: Mapping[str, Provenance] = field(default_factory=dict)
    content_of: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def fingerprint(self) -> str:
        """Digest of the captions, their hard negatives and the names of their images, in order."""
        sha = hashlib.sha256(self.provenance.fingerprint.encode())
        for row, (image, caption) in enumerate(zip(self.image_of, self.captions, strict=True)):
            negatives = self.negatives.identity(row) if self.negatives else []
            sha.update(repr((self.images[image].key, caption, negatives)).encode())
            if self.negative_images is not None:
                sha.update(repr([self.images[n].key for n in self.negative_images[row] if n >= 0]).encode())
        for number, (name, provenance) in enumerate(self.mixed.items(), 1):
            sha.update(repr((name, provenance.fingerprint, self.rows_of(number).tolist())).encode())
        return sha.hexdigest()

    def contents(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of images, but equal for images of equal content; any shape."""
        return images if self.content_of is None else self.content_of[images]

    def rows_of(self, pool: int) -> NDArray[np.int64]:
        """The numbers of the captions of a pool; pool 0 has those that training is about."""
        return np.arange(len(self)) if self.pools is None else np.flatnonzero(self.pools == pool)

    def place_of(self, pool: int) -> str:
        """Where the captions of a pool came from, for messages."""
        return f"`mix` {list(self.mixed)[pool - 1]}" if pool else self.provenance.location

    def without_images(self, broken: Collection[int]) -> TrainingPairs:
        """The pairs whose image is not among ``broken`` (indices into ``images``, which stay as they are).

        A caption whose negative image is broken stays, without that image.
        """
        kept = [row for row, image in enumerate(self.image_of) if int(image) not in broken]
        further = None if self.negative_images is None else self.negative_images[kept]
        return replace(
            self,
            image_of=self.image_of[kept],
            captions=[self.captions[row] for row in kept],
            ids=[self.ids[row] for row in kept],
            negatives=self.negatives and self.negatives.kept(kept),
            negative_images=None if further is None else np.where(np.isin(further, list(broken)), -1, further),
            left_out=self.left_out + len(self) - len(kept),
            pools=None if self.pools is None else self.pools[kept],
        )


def check_negatives(concepts: Sequence[Concept], negatives: int) -> None:
    """Refuse more negatives than a keyword has replacements.

    Raises:
        ConfigError: Names the concept and the keyword.
    """
    for concept in concepts:
        keyword, others = min(concept.replacements.items(), key=lambda entry: len(entry[1]))
        if len(others) < negatives:
            ways = pluralize(len(others), "replacement")
            raise ConfigError(
                f"negatives {negatives}: {keyword!r} of concept {concept.name} has {ways} only; give at most"
                f" {len(others)}"
            )
