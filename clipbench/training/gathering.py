"""Reading training pairs: captions with a keyword, with given negatives, or all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from clipbench.concepts import Concept, Variants
from clipbench.data import Provenance, Source
from clipbench.errors import DataError
from clipbench.task_types.base import only_image
from clipbench.training.negatives import ExchangedKeywords, GivenNegatives, MatchedKeywords, Negatives
from clipbench.training.negatives.columns import GivenColumns, Reading, Tally
from clipbench.training.pairs import TrainingPairs
from clipbench.types import ImageRef
from clipbench.utils.text import text_problem

_NAMES_SHOWN = 12


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
