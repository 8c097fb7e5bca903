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
from clipbench.training.sampling import Ints, Uniforms, distinct
from clipbench.types import ImageRef
from clipbench.utils.text import pluralize, text_problem

_NAMES_SHOWN = 12


@dataclass(frozen=True)
class TrainingPairs:
    """Captions with their images.

    Attributes:
        images: Distinct images.
        image_of: ``(n,)``; ``images[image_of[i]]`` is the image of caption i.
        captions: For each caption its variants, one entry for each concept that it holds a keyword of.
        ids: Names the captions in messages.
        provenance: Where they came from.
        left_out: Captions with a keyword whose image is missing or broken.
        negative_images: ``(n, m)`` indices into ``images``: what distracts each caption from its image; -1 where there
            is none; None: of no caption.
    """

    images: list[ImageRef]
    image_of: NDArray[np.int64]
    captions: list[tuple[Variants, ...]]
    ids: list[str]
    provenance: Provenance
    left_out: int = 0
    negative_images: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def fingerprint(self) -> str:
        """Digest of the captions, their variants and the names of their images, in order."""
        sha = hashlib.sha256(self.provenance.fingerprint.encode())
        for image, entries in zip(self.image_of, self.captions, strict=True):
            varied = [(entry.keyword, entry.start, entry.replacements) for entry in entries]
            sha.update(repr((self.images[image].key, entries[0].caption, varied)).encode())
        return sha.hexdigest()

    def without_images(self, broken: Collection[int]) -> TrainingPairs:
        """The pairs whose image is not among ``broken`` (indices into ``images``, which stay as they are)."""
        kept = [row for row, image in enumerate(self.image_of) if int(image) not in broken]
        return replace(
            self,
            image_of=self.image_of[kept],
            captions=[self.captions[row] for row in kept],
            ids=[self.ids[row] for row in kept],
            left_out=self.left_out + len(self) - len(kept),
            negative_images=None if self.negative_images is None else self.negative_images[kept],
        )

    def substitutes(self, rows: Ints, uniforms: Uniforms) -> list[str]:
        """Hard negatives of some captions, ``k`` each, those of one caption side by side.

        Where a caption holds keywords of several concepts, one of the concepts is drawn first, so that a concept with
        many keywords does not crowd the others out.

        Args:
            rows: ``(B,)`` captions.
            uniforms: ``(B, 1 + k)`` in [0, 1), see ``clipbench.training.sampling.substitution_uniforms``.

        Returns:
            ``B·k`` texts; by construction each differs from its caption, and those of a caption from each other.
        """
        entries = [self.captions[row] for row in rows]
        chosen = [entry[int(u * len(entry))] for entry, u in zip(entries, uniforms[:, 0], strict=True)]
        options = np.array([len(variants.replacements) for variants in chosen], dtype=np.int64)
        picks = distinct(uniforms[:, 1:], options)
        return [variants[1 + int(pick)] for variants, row in zip(chosen, picks, strict=True) for pick in row]


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
    allow_missing: bool = False,
    limit: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> TrainingPairs:
    """Read the captions with a keyword of one of the concepts.

    Args:
        source: Rows, each with one image and its captions.
        concepts: The concepts.
        allow_missing: Leave out captions with a missing image, and count them.
        limit: Take no more than so many captions, the first ones.
        on_progress: Called with the captions found and None, because the total is unknown.

    Raises:
        DataError: No caption holds a keyword, an image is missing, or rows cannot be read.
    """
    images: dict[str, int] = {}
    refs: list[ImageRef] = []
    image_of, captions, ids, missing = [], [], [], []
    found = islice(_matching(source, concepts), limit)
    for name, ref, entries in found:
        if ref.missing:
            missing.append(ref.key)
            continue
        if ref.key not in images:
            images[ref.key] = len(refs)
            refs.append(ref)
        image_of.append(images[ref.key])
        captions.append(entries)
        ids.append(name)
        if on_progress and len(ids) % 1000 == 0:
            on_progress(len(ids), None)
    location = source.provenance.location
    if not captions and not missing:
        raise DataError(f"{location}: no caption contains a keyword of {'; '.join(map(_listed, concepts))}")
    if missing and (not allow_missing or not captions):
        hint = "; set allow_missing to train on the others" if captions else ""
        distinct_missing = dict.fromkeys(missing)
        raise DataError(
            f"{location}: {len(distinct_missing):,} of {len(distinct_missing) + len(refs):,} images missing"
            f" ({', '.join(list(distinct_missing)[:3])}{', …' if len(distinct_missing) > 3 else ''}){hint}"
        )
    return TrainingPairs(refs, np.array(image_of, dtype=np.int64), captions, ids, source.provenance, len(missing))


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
