"""Training pairs: each caption with a keyword, and its image (§3 of the paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Concept, Variants
from clipbench.data import Provenance, Source
from clipbench.errors import ConfigError, DataError
from clipbench.task_types.base import only_image
from clipbench.training.negatives import ExchangedKeywords, Negatives
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize, text_problem

_NAMES_SHOWN = 12


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
    """

    images: list[ImageRef]
    image_of: NDArray[np.int64]
    captions: list[str]
    ids: list[str]
    provenance: Provenance
    negatives: Negatives | None = None
    negative_images: NDArray[np.int64] | None = None
    left_out: int = 0

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
        return sha.hexdigest()

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


def gather_pairs(
    source: Source,
    concepts: Sequence[Concept],
    *,
    k: int = 1,
    allow_missing: bool = False,
    limit: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> TrainingPairs:
    """Read the captions with a keyword of one of the concepts.

    Args:
        source: Rows, each with one image and its captions.
        concepts: The concepts.
        k: Hard negatives per caption; 0 for none.
        allow_missing: Leave out captions with a missing image, and count them.
        limit: Take no more than so many captions, the first ones.
        on_progress: Called with the captions found and None, because the total is unknown.

    Raises:
        DataError: No caption holds a keyword, an image is missing, or rows cannot be read.
    """
    images: dict[str, int] = {}
    refs: list[ImageRef] = []
    image_of, variants, ids, missing = [], [], [], []
    found = islice(_matching(source, concepts), limit)
    for name, ref, entries in found:
        if ref.missing:
            missing.append(ref.key)
            continue
        if ref.key not in images:
            images[ref.key] = len(refs)
            refs.append(ref)
        image_of.append(images[ref.key])
        variants.append(entries)
        ids.append(name)
        if on_progress and len(ids) % 1000 == 0:
            on_progress(len(ids), None)
    location = source.provenance.location
    if not variants and not missing:
        raise DataError(f"{location}: no caption contains a keyword of {'; '.join(map(_listed, concepts))}")
    if missing and (not allow_missing or not variants):
        hint = "; set allow_missing to train on the others" if variants else ""
        distinct_missing = dict.fromkeys(missing)
        raise DataError(
            f"{location}: {len(distinct_missing):,} of {len(distinct_missing) + len(refs):,} images missing"
            f" ({', '.join(list(distinct_missing)[:3])}{', …' if len(distinct_missing) > 3 else ''}){hint}"
        )
    return TrainingPairs(
        refs,
        np.array(image_of, dtype=np.int64),
        [entries[0].caption for entries in variants],
        ids,
        source.provenance,
        ExchangedKeywords(variants, k),
        left_out=len(missing),
    )


def _matching(source: Source, concepts: Sequence[Concept]) -> Iterator[tuple[str, ImageRef, tuple[Variants, ...]]]:
    rows = source.rows(keep=lambda texts: any(concept.matches(text) for text in texts for concept in concepts))
    for row in rows:
        image = only_image(row, "training")
        for index, caption in enumerate(row.captions):
            found = (concept.variants(caption) for concept in concepts)
            entries = tuple(variants for variants in found if variants is not None)
            if entries:
                name = row.id if len(row.captions) == 1 else f"{row.id}#{index}"
                if problem := text_problem(caption):
                    raise DataError(f"{source.provenance.location}: row {name}: {problem}")
                yield name, image, entries


def _listed(concept: Concept) -> str:
    words = list(concept.replacements)
    more = f" and {len(words) - _NAMES_SHOWN} more" if len(words) > _NAMES_SHOWN else ""
    return f"{concept.name} ({', '.join(words[:_NAMES_SHOWN])}{more})"
