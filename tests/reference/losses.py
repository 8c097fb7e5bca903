"""Slow, obvious contrastive losses: Python loops over float64, one candidate at a time; a masked one is left out.

A case has ``images`` and ``texts`` (N, D), ``scale``, ``bias``; for hard negative captions ``negatives`` (N, k, D),
their ``positions`` and ``valid`` (N, k); for negative images ``images_hn`` (N, m, D), ``image_positions`` and
``image_valid`` (N, m), ``image_same`` (N, m, N); ``same`` (N, N) and ``weights`` (N,), all numpy; k and m may be 0.
"""

from __future__ import annotations

import math


def log_softmax(scores):
    top = max(scores)
    total = math.log(sum(math.exp(score - top) for score in scores))
    return [score - top - total for score in scores]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def mean(values):
    return sum(values) / len(values)


def similarity(case, i, j):
    """Of image i with caption j."""
    return case.scale * dot(case.images[i], case.texts[j])


def hard_caption(case, i, j, m):
    """Of image i with hard negative m of caption j."""
    return case.scale * dot(case.images[i], case.negatives[j][m])


def hard_image(case, i, j, m):
    """Of caption i with negative image m of pair j."""
    return case.scale * dot(case.texts[i], case.images_hn[j][m])


def pairs(case):
    return range(len(case.images))


def others(case, i):
    """The pairs that pair i competes with in the batch."""
    return [j for j in pairs(case) if j != i and not case.same[i][j]]


def own_captions(case, i):
    return [hard_caption(case, i, i, m) for m in range(case.negatives.shape[1]) if case.valid[i][m]]


def own_images(case, i):
    return [hard_image(case, i, i, m) for m in range(case.images_hn.shape[1]) if case.image_valid[i][m]]


def all_captions(case, i, owners=None):
    """Image i with the hard negatives of all captions, or of those of some pairs."""
    for j in owners or pairs(case):
        for m in range(case.negatives.shape[1]):
            if case.valid[j][m]:
                yield hard_caption(case, i, j, m)


def all_images(case, i, owners=None):
    """Caption i with the negative images of all (or some) pairs, but not with its own image among them."""
    for j in owners or pairs(case):
        for m in range(case.images_hn.shape[1]):
            if case.image_valid[j][m] and not case.image_same[j][m][i]:
                yield hard_image(case, i, j, m)


def cross_entropy(right, wrong):
    return -log_softmax([right, *wrong])[0]


def both_directions(case, one):
    """Mean of image→text and text→image of ``one(right, in_batch, further)``, over pairs, each with its weight."""
    total = 0.0
    for i in pairs(case):
        right = similarity(case, i, i)
        image = one(right, [similarity(case, i, j) for j in others(case, i)], list(all_captions(case, i)))
        text = one(right, [similarity(case, j, i) for j in others(case, i)], list(all_images(case, i)))
        total += case.weights[i] * (image + text) / 2
    return total / len(case.images)


def info_nce(case):
    return both_directions(case, lambda right, in_batch, further: cross_entropy(right, in_batch))


def negclip(case):
    return both_directions(case, lambda right, in_batch, further: cross_entropy(right, [*in_batch, *further]))


def inbatch_replacement(case, negatives_in="both"):
    count = len(case.images)
    matrix = {
        (i, j): similarity(case, i, j) for i in range(count) for j in range(count) if i == j or not case.same[i][j]
    }
    captions, images = {}, {}
    for i in range(count):
        for m in range(case.negatives.shape[1]):
            if case.valid[i][m]:
                captions[i, int(case.positions[i][m])] = hard_caption(case, i, i, m)
        for m in range(case.images_hn.shape[1]):
            if case.image_valid[i][m]:
                images[int(case.image_positions[i][m]), i] = hard_image(case, i, i, m)
    if negatives_in == "both":
        seen_by_rows, seen_by_columns = {**matrix, **images, **captions}, {**matrix, **captions, **images}
    else:
        seen_by_rows, seen_by_columns = {**matrix, **captions}, {**matrix, **images}
    total = 0.0
    for i in range(count):
        rivals = [j for j in range(count) if j != i]
        row = [seen_by_rows[i, j] for j in rivals if (i, j) in seen_by_rows]
        column = [seen_by_columns[j, i] for j in rivals if (j, i) in seen_by_columns]
        image, text = cross_entropy(seen_by_rows[i, i], row), cross_entropy(seen_by_columns[i, i], column)
        total += case.weights[i] * (image + text) / 2
    return total / count


def svlc(case, weight=1.0):
    total = info_nce(case)
    for own in (own_captions, own_images):
        terms = [
            case.weights[i] * cross_entropy(similarity(case, i, i), own(case, i)) for i in pairs(case) if own(case, i)
        ]
        total += weight * mean(terms) if terms else 0.0
    return total


def fsc(case, weight=0.5, gamma=2.0, smoothing=0.02):
    total = info_nce(case)
    for own in (own_captions, own_images):
        terms = []
        for i in pairs(case):
            if wrong := own(case, i):
                log_p = log_softmax([similarity(case, i, i), *wrong])
                share = smoothing / len(log_p)
                targets = [1 - smoothing + share] + [share] * len(wrong)
                focal = sum(-y * (1 - math.exp(lp)) ** gamma * lp for y, lp in zip(targets, log_p, strict=True))
                terms.append(case.weights[i] * focal)
        total += weight * mean(terms) if terms else 0.0
    return total


def weighted_sum(scores, beta):
    """Σ_j w_j·exp(s_j), w_j = n·exp(β·s_j) / Σ_k exp(β·s_k)."""
    total = sum(math.exp(beta * score) for score in scores)
    return sum(len(scores) * math.exp(beta * score) / total * math.exp(score) for score in scores)


def hn_nce(case, alpha=1.0, beta=0.25):
    def one(right, in_batch, further):
        negatives = weighted_sum(in_batch, beta) + sum(math.exp(score) for score in further)
        return -math.log(math.exp(right) / (alpha * math.exp(right) + negatives))

    return both_directions(case, one)


def debiased(case, beta=1.0, tau_plus=0.1):
    def one(right, in_batch, further):
        count = len(in_batch)
        estimate = (weighted_sum(in_batch, beta) - count * tau_plus * math.exp(right)) / (1 - tau_plus)
        estimate = max(estimate, count * math.exp(-case.scale))
        return -math.log(math.exp(right) / (math.exp(right) + estimate + sum(math.exp(score) for score in further)))

    return both_directions(case, one)


def sigmoid(case):
    def log_sigmoid(score):
        return -math.log(1 + math.exp(-score))

    total = 0.0
    for i in pairs(case):
        total += case.weights[i] * log_sigmoid(similarity(case, i, i) + case.bias)
        for j in others(case, i):
            weight = (case.weights[i] + case.weights[j]) / 2
            total += weight * log_sigmoid(-(similarity(case, i, j) + case.bias))
        for j in pairs(case):
            for score in (*all_captions(case, i, [j]), *all_images(case, i, [j])):
                total += case.weights[j] * log_sigmoid(-(score + case.bias))
    return -total / len(case.images)
