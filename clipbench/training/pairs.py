"""Training pairs: each caption with a keyword, and its image (§3 of the paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    found = islice(_matching(source, concepts), limit)
    nothing = f"no caption contains a keyword of {'; '.join(map(_listed, concepts))}"
    pairs, variants = _gather(found, source, nothing, allow_missing, on_progress)
    return replace(pairs, negatives=ExchangedKeywords(variants, k))


def gather_captions(
    source: Source,
    without: Sequence[Concept] = (),
    *,
    allow_missing: bool = False,
    limit: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> TrainingPairs:
    """Read the captions without a keyword of some concepts; they have no hard negatives.

    Args:
        source: Rows, each with one image and its captions.
        without: The concepts; none takes all captions.
        allow_missing: Leave out captions with a missing image, and count them.
        limit: Take no more than so many captions, the first ones.
        on_progress: Called with the captions found and None, because the total is unknown.

    Raises:
        DataError: There is no such caption, an image is missing, or rows cannot be read.
    """
    found = islice(_lacking(source, without), limit)
    nothing = "every caption contains a keyword" if without else "no captions"
    return _gather(found, source, nothing, allow_missing, on_progress)[0]


def _gather(
    found: Iterable[tuple[str, ImageRef, str, tuple[Variants, ...]]],
    source: Source,
    nothing: str,
    allow_missing: bool,
    on_progress: Callable[[int, int | None], None] | None,
) -> tuple[TrainingPairs, list[tuple[Variants, ...]]]:
    """The pairs, without hard negatives, and each caption's variants."""
    images: dict[str, int] = {}
    refs: list[ImageRef] = []
    image_of, captions, variants, ids, missing = [], [], [], [], []
    for name, ref, caption, entries in found:
        if ref.missing:
            missing.append(ref.key)
            continue
        if ref.key not in images:
            images[ref.key] = len(refs)
            refs.append(ref)
        image_of.append(images[ref.key])
        captions.append(caption)
        variants.append(entries)
        ids.append(name)
        if on_progress and len(ids) % 1000 == 0:
            on_progress(len(ids), None)
    location = source.provenance.location
    if not captions and not missing:
        raise DataError(f"{location}: {nothing}")
    if missing and (not allow_missing or not captions):
        hint = "; set allow_missing to train on the others" if captions else ""
        distinct_missing = dict.fromkeys(missing)
        raise DataError(
            f"{location}: {len(distinct_missing):,} of {len(distinct_missing) + len(refs):,} images missing"
            f" ({', '.join(list(distinct_missing)[:3])}{', …' if len(distinct_missing) > 3 else ''}){hint}"
        )
    numbers = np.array(image_of, dtype=np.int64)
    return TrainingPairs(refs, numbers, captions, ids, source.provenance, left_out=len(missing)), variants


def _matching(source: Source, concepts: Sequence[Concept]) -> Iterator[tuple[str, ImageRef, str, tuple[Variants, ...]]]:
    for name, image, caption in _captions(
        source, lambda texts: any(concept.matches(text) for text in texts for concept in concepts)
    ):
        found = (concept.variants(caption) for concept in concepts)
        entries = tuple(variants for variants in found if variants is not None)
        if entries:
            yield _checked(name, caption, source), image, caption, entries


def _lacking(source: Source, concepts: Sequence[Concept]) -> Iterator[tuple[str, ImageRef, str, tuple[Variants, ...]]]:
    def lacks(text: str) -> bool:
        return not any(concept.matches(text) for concept in concepts)

    for name, image, caption in _captions(source, lambda texts: any(map(lacks, texts))):
        if lacks(caption):
            yield _checked(name, caption, source), image, caption, ()


def _captions(source: Source, keep: Callable[[tuple[str, ...]], bool]) -> Iterator[tuple[str, ImageRef, str]]:
    for row in source.rows(keep=keep):
        image = only_image(row, "training")
        for index, caption in enumerate(row.captions):
            yield row.id if len(row.captions) == 1 else f"{row.id}#{index}", image, caption


def _checked(name: str, caption: str, source: Source) -> str:
    if problem := text_problem(caption):
        raise DataError(f"{source.provenance.location}: row {name}: {problem}")
    return name


def _listed(concept: Concept) -> str:
    words = list(concept.replacements)
    more = f" and {len(words) - _NAMES_SHOWN} more" if len(words) > _NAMES_SHOWN else ""
    return f"{concept.name} ({', '.join(words[:_NAMES_SHOWN])}{more})"
