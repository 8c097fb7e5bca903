"""Metrics as pure functions of numpy arrays: a matrix in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def cosine_similarity(images: Floats, texts: Floats) -> Floats:
    """Cosine similarities of unit features, as float32.

    The products are summed in double precision and rounded once, so that a score does not depend on the
    shape of the matrix product it came from: equal features give equal scores, and ties are real ones.

    Args:
        images: ``(N, D)`` unit rows.
        texts: ``(M, D)`` unit rows.

    Returns:
        ``(N, M)``.
    """
    return (images.astype(np.float64) @ texts.astype(np.float64).T).astype(np.float32)


def paired_scores(similarities: Floats) -> tuple[bool, bool, bool]:
    """Whether a model distinguishes two images and their captions: Eq. (1) of arXiv 2403.02875, Winoground's scores.

    Args:
        similarities: ``(2, 2)``; rows are images, columns captions, and caption ``i`` belongs to image ``i``.

    Returns:
        ``(image, text, group)``. ``image`` is Eq. (1): each caption prefers its own image (within columns). ``text``:
        each image prefers its own caption (within rows). ``group``: both. A tie is not a preference. Guessing gives
        1/4, 1/4 and 1/6.

    Examples:
        >>> paired_scores(np.array([[0.9, 0.3], [0.6, 0.4]]))  # the second image prefers the first caption
        (True, False, False)

    Examples:
            >>> paired_scores(np.array([[0.9, 0.4], [0.6, 0.4]]))  # the second caption prefers neither image
            (False, False, False)
    """
    (s00, s01), (s10, s11) = similarities.tolist()
    image, text = s00 > s10 and s11 > s01, s00 > s01 and s11 > s10
    return image, text, image and text


def top1(scores: Sequence[float]) -> tuple[bool, bool]:
    """Judge whether the first of several scores is the greatest.

    A tie is not a win: a model that gives every text the same score has understood nothing, and would
    be right throughout if the first of equals counted, as it does under ``argmax``.

    Args:
        scores: The right answer's score first.

    Returns:
        ``(won, tied)``: whether ``scores[0]`` exceeds all others, and whether it equals the greatest of them.

    Examples:
        >>> top1([0.3, 0.1, 0.2])
        (True, False)

    Examples:
            >>> top1([0.3, 0.3, 0.2])
            (False, True)
    """
    own, *others = scores
    best_other = max(others)
    return own > best_other, own == best_other


def best_rank(scores: Floats, own: NDArray[np.intp]) -> tuple[int, bool]:
    """Rank the best of a query's own items among the items of others, by counting.

    Counting asks for no sorting, and puts equal scores ahead of the own item, so ties never help.

    Args:
        scores: ``(M,)``, the query against every item.
        own: Indices of the query's own items, at least one.

    Returns:
        ``(rank, tied)``: rank from 1, and whether another's item has the very same score.

    Examples:
        >>> best_rank(np.float32([0.1, 0.9, 0.5, 0.5]), np.array([2]))
        (3, True)
    """
    best = scores[own].max()
    ahead = int((scores >= best).sum()) - int((scores[own] >= best).sum())
    equal = int((scores == best).sum()) - int((scores[own] == best).sum())
    return 1 + ahead, equal > 0


def recall_at_k(
    similarities: Floats, own: Sequence[Sequence[int]], cutoffs: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Recall@k as the hit rate: the share of queries with an item of their own among the first k.

    Some libraries divide by the number of a query's own items instead. Equal scores rank ahead of the own item.

    Args:
        similarities: ``(N, M)``; rows are queries, columns items.
        own: For each query the columns of its own items, at least one.
        cutoffs: The k.

    Returns:
        Recall by k.

    Two images with one and two captions, and both directions:

    Examples:
        >>> images_to_texts = np.float32([[0.9, 0.1, 0.2], [0.8, 0.3, 0.4]])
        >>> recall_at_k(images_to_texts, [[0], [1, 2]], cutoffs=(1, 2))
        {1: 0.5, 2: 1.0}

    Examples:
            >>> recall_at_k(images_to_texts.T, [[0], [1], [1]], cutoffs=(1,))
            {1: 1.0}
    """
    ranks = [best_rank(scores, np.asarray(items))[0] for scores, items in zip(similarities, own, strict=True)]
    return {k: sum(rank <= k for rank in ranks) / len(ranks) for k in cutoffs}


def chance_corrected(value: float, chance: float) -> float:
    """Rescale so that chance is 0 and perfection 1: ``(value − chance) / (1 − chance)``.

    Examples:
        >>> chance_corrected(0.625, 0.25)
        0.5
    """
    return (value - chance) / (1 - chance)


def mean_stderr(stderrs: list[float]) -> float:
    """The standard error of a plain mean over tasks, taken as independent: ``sqrt(Σ se²) / n``.

    Examples:
        >>> mean_stderr([0.03, 0.04])
        0.025
    """
    return math.sqrt(math.fsum(se * se for se in stderrs)) / len(stderrs)
