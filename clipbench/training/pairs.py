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
from clipbench.training.negatives import ExchangedKeywords, GivenNegatives, MatchedKeywords, Negatives
from clipbench.training.negatives.columns import GivenColumns, Reading, Tally
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
    matched: bool = False,
    allow_missing: bool = False,
    limit: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> TrainingPairs:
    """Read the captions with a keyword of one of the concepts; the hard negatives have another one in its place.

    Args:
        source: Rows, each with one image and its captions.
        concepts: The concepts; none takes all captions, without hard negatives.
        k: Hard negatives per caption; 0 for none.
        matched: Draw them so that each keyword is as often wrong as right.
        allow_missing: Leave out captions with a missing image, and count them.
        limit: Take no more than so many captions, the first ones.
        on_progress: Called with the captions found and None, because the total is unknown.

    Raises:
        DataError: No caption holds a keyword, an image is missing, or rows cannot be read.
    """
    if not concepts:
        return gather_captions(source, allow_missing=allow_missing, limit=limit, on_progress=on_progress)
    variants: list[tuple[Variants, ...]] = []
    unused = False

    def matching(read: Reading) -> bool:
        nonlocal unused
        unused = unused or bool(read.negatives)
        entries = _variants(read.caption, concepts)
        if entries and not read.image.missing:
            variants.append(entries)
        return bool(entries)

    found = islice(filter(matching, _captions(source, lambda texts: _any_matches(texts, concepts))), limit)
    nothing = f"no caption contains a keyword of {'; '.join(map(_listed, concepts))}"
    pairs = _gather(found, source.provenance, nothing, allow_missing, on_progress)
    kind = MatchedKeywords if matched else ExchangedKeywords
    problem = "its columns of negative captions are not used: name them in negatives_from" if unused and k else ""
    return replace(pairs, negatives=kind(variants, k), provenance=pairs.provenance.with_problem(problem))


def gather_given(
    columns: GivenColumns,
    concepts: Sequence[Concept],
    *,
    k: int = 1,
    matched: bool = False,
    allow_missing: bool = False,
    limit: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> TrainingPairs:
    """Read captions that come with their hard negatives; keywords are exchanged if only the images are given.

    Args:
        columns: The data.
        concepts: Only captions with a keyword of one of them; none takes all.
        k: Hard negatives per caption; 0 for none.
        matched: Where only images are given, exchange keywords so that each is as often wrong as right.
        allow_missing: Leave out, and count, captions with a missing image, negatives that read like their caption, and
            missing negative images.
        limit: Take no more than so many captions, the first ones.
        on_progress: Called with the captions found and None, because the total is unknown.

    Raises:
        DataError: There is no such caption, or no negative, or something that ``allow_missing`` would leave out.
    """
    rows = columns.rows(lambda texts: not concepts or _any_matches(texts, concepts))
    wanted = (read for read in rows if not concepts or _any_matches((read.caption,), concepts))
    nothing = f"no caption contains a keyword of {'; '.join(map(_listed, concepts))}" if concepts else "no captions"
    tally = Tally(columns, allow_missing)
    found = map(tally.checked, islice(wanted, limit))
    pairs = _gather(found, columns.source.provenance, nothing, allow_missing, on_progress)
    negatives: Negatives | None = GivenNegatives(pairs.captions, tally.negatives, k) if k else None
    if not columns.hold_captions:
        kind = MatchedKeywords if matched else ExchangedKeywords
        negatives = kind([_variants(text, concepts) for text in pairs.captions], k) if concepts and k else None
    return replace(pairs, negatives=negatives, provenance=tally.noted(pairs.provenance, k))


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

    def lacks(text: str) -> bool:
        return not _any_matches((text,), without)

    read = _captions(source, lambda texts: any(map(lacks, texts)))
    found = islice((one for one in read if lacks(one.caption)), limit)
    nothing = "every caption contains a keyword" if without else "no captions"
    return _gather(found, source.provenance, nothing, allow_missing, on_progress)


def _gather(
    found: Iterable[Reading],
    provenance: Provenance,
    nothing: str,
    allow_missing: bool,
    on_progress: Callable[[int, int | None], None] | None,
) -> TrainingPairs:
    """The pairs, without hard negative captions."""
    images: dict[str, int] = {}
    refs: list[ImageRef] = []
    kept, others, missing = [], [], []
    location = provenance.location

    def number(ref: ImageRef) -> int:
        if ref.key not in images:
            images[ref.key] = len(refs)
            refs.append(ref)
        return images[ref.key]

    image_of = []
    for read in found:
        if problem := text_problem(read.caption):
            raise DataError(f"{location}: row {read.id}: {problem}")
        if read.image.missing:
            missing.append(read.image.key)
            continue
        image_of.append(number(read.image))
        others.append([number(ref) for ref in read.images])
        kept.append(read)
        if on_progress and len(kept) % 1000 == 0:
            on_progress(len(kept), None)
    if (gap := provenance.details.get("gap")) and not allow_missing:
        raise DataError(f"{location}: {gap}; set allow_missing to train on what there is")
    if not kept and not missing:
        raise DataError(f"{location}: {nothing}")
    if missing and (not allow_missing or not kept):
        hint = "; set allow_missing to train on the others" if kept else ""
        distinct_missing = dict.fromkeys(missing)
        raise DataError(
            f"{location}: {len(distinct_missing):,} of {len(distinct_missing) + len(refs):,} images missing"
            f" ({', '.join(list(distinct_missing)[:3])}{', …' if len(distinct_missing) > 3 else ''}){hint}"
        )
    numbers, captions = np.array(image_of, dtype=np.int64), [read.caption for read in kept]
    ids = [read.id for read in kept]
    return TrainingPairs(
        refs, numbers, captions, ids, provenance, negative_images=_rectangle(others), left_out=len(missing)
    )


def _rectangle(rows: Sequence[Sequence[int]]) -> NDArray[np.int64] | None:
    """Rows of different lengths as an array, -1 where one has no more; None if all are empty."""
    width = max(map(len, rows), default=0)
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], dtype=np.int64) if width else None


def _variants(caption: str, concepts: Sequence[Concept]) -> tuple[Variants, ...]:
    found = (concept.variants(caption) for concept in concepts)
    return tuple(variants for variants in found if variants is not None)


def _any_matches(texts: Iterable[str], concepts: Sequence[Concept]) -> bool:
    return any(concept.matches(text) for text in texts for concept in concepts)


def _captions(source: Source, keep: Callable[[tuple[str, ...]], bool]) -> Iterator[Reading]:
    for row in source.rows(keep=keep):
        image = only_image(row, "training")
        for index, caption in enumerate(row.captions):
            name = row.id if len(row.captions) == 1 else f"{row.id}#{index}"
            yield Reading(name, image, caption, row.false_captions)


def _listed(concept: Concept) -> str:
    words = list(concept.replacements)
    more = f" and {len(words) - _NAMES_SHOWN} more" if len(words) > _NAMES_SHOWN else ""
    return f"{concept.name} ({', '.join(words[:_NAMES_SHOWN])}{more})"
