"""Slow, obvious contrastive losses: Python loops over float64, one softmax at a time."""

from __future__ import annotations

import math

import numpy as np


def log_softmax(scores):
    top = max(scores)
    total = math.log(sum(math.exp(score - top) for score in scores))
    return [score - top - total for score in scores]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def similarities(images, texts, scale):
    return np.array([[scale * dot(image, text) for text in texts] for image in images])


def rows_loss(matrix):
    """Mean over rows i of −log softmax(row i)[i]."""
    return -sum(log_softmax(list(row))[i] for i, row in enumerate(matrix)) / len(matrix)


def info_nce(rows, columns):
    return (rows_loss(rows) + rows_loss(columns.T)) / 2


def inbatch_replacement(images, texts, negatives, cells, valid, scale, direction):
    clean = similarities(images, texts, scale)
    replaced = clean.copy()
    for i, image in enumerate(images):
        for m, cell in enumerate(cells[i]):
            if valid[i][m]:
                replaced[i, cell] = scale * dot(image, negatives[i][m])
    return info_nce(replaced, replaced if direction == "both" else clean)


def negclip(images, texts, negatives, cells, valid, scale, direction):
    clean = similarities(images, texts, scale)
    rows = []
    for i, image in enumerate(images):
        further = [
            scale * dot(image, negatives[j][m])
            for j in range(len(texts))
            for m in range(len(negatives[j]))
            if valid[j][m]
        ]
        rows.append([*clean[i], *further])
    return info_nce(rows, clean)


def own_candidates(images, texts, negatives, valid, scale):
    """Log-probabilities of [caption, its valid hard negatives], for the images that have one."""
    for i, image in enumerate(images):
        own = [scale * dot(image, negatives[i][m]) for m in range(len(negatives[i])) if valid[i][m]]
        if own:
            yield log_softmax([scale * dot(image, texts[i]), *own])


def svlc(images, texts, negatives, cells, valid, scale, direction):
    clean = similarities(images, texts, scale)
    terms = [-log_p[0] for log_p in own_candidates(images, texts, negatives, valid, scale)]
    return info_nce(clean, clean) + (sum(terms) / len(terms) if terms else 0.0)


def fsc(images, texts, negatives, cells, valid, scale, direction):
    clean = similarities(images, texts, scale)
    terms = []
    for log_p in own_candidates(images, texts, negatives, valid, scale):
        share = 0.02 / len(log_p)
        targets = [0.98 + share] + [share] * (len(log_p) - 1)
        terms.append(sum(-y * (1 - math.exp(lp)) ** 2 * lp for y, lp in zip(targets, log_p, strict=True)))
    return info_nce(clean, clean) + 0.5 * (sum(terms) / len(terms) if terms else 0.0)
