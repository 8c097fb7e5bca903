"""Keywords exchanged so that each is as often wrong as right, and language alone cannot tell the two apart.

Exchanges are a flow between keywords: n captions with keyword a that get b in its place are n units from a to b. Each
unit has a on its right side and b on its wrong side, so every keyword is as often wrong as right if and only if what
flows into it equals what flows out of it. Where the counts of an epoch allow it, such a flow is found with every
caption counted once. Where they do not (one of a pair is more frequent, or a keyword is more than half of all), the
captions of a keyword get a weight: for shares P of the flow out of each keyword, the weighted flow m out of keywords is
balanced if m·P = m, which is the stationary distribution of a Markov chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clipbench.training.negatives.base import Draw
from clipbench.training.negatives.keywords import ExchangedKeywords
from clipbench.training.sampling import Ints, shuffler, substitution_uniforms

Floats = NDArray[np.float64]

_ROUNDS = 2_000  # of proportional fitting, at most
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class MatchedKeywords(ExchangedKeywords):
    """As ``ExchangedKeywords``, drawn so that over an epoch each keyword is as often wrong as right.

    A caption has no hard negative if its keyword can never be wrong, or has no replacement that is ever right.
    """

    @cached_property
    def _nodes(self) -> tuple[Ints, list[Ints]]:
        """The keyword of each entry, by number; and for each keyword the number of each replacement, -1 for none."""
        numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        of = np.array(
            [numbers.setdefault((v.keyword, v.replacements), len(numbers)) for entry in self.variants for v in entry]
        )
        # A word of two concepts ("orange") is two keywords: its replacements tell them apart.
        alike: dict[str, list[tuple[int, frozenset[str]]]] = {}
        for (word, others), number in numbers.items():
            alike.setdefault(word, []).append((number, frozenset((word, *others))))
        targets = []
        for word, others in numbers:
            own = frozenset((word, *others))
            best = [max(alike.get(other, [(-1, own)]), key=lambda one: len(one[1] & own))[0] for other in others]
            targets.append(np.array(best, dtype=np.int64))
        return of, targets

    def draw(self, seed: int, epoch: int) -> Draw:
        """Draw an epoch: ``picks`` is ``(n, 1 + k)``, the entry and the numbers of its replacements, -1 for none."""
        entries, starts, _ = self._options
        of, targets = self._nodes
        uniforms = substitution_uniforms(seed, epoch, len(self.variants), self.k)
        chosen = (uniforms[:, 0] * entries).astype(np.int64)
        keywords = of[starts + chosen]
        random = shuffler(seed, epoch)
        flow, weight = balanced_flow(np.bincount(keywords, minlength=len(targets)), targets, self.k, random)
        picks = np.full((len(self.variants), 1 + self.k), -1, dtype=np.int64)
        picks[:, 0] = chosen
        for keyword, counts in enumerate(flow):
            rows = np.flatnonzero(keywords == keyword)
            rows = rows[np.argsort(uniforms[rows, 1], kind="stable")]
            order = random.permutation(len(counts))
            # No replacement is there more than len(rows) times: every len(rows)-th are all different.
            sequence = np.repeat(order, counts[order])
            for column in range(len(sequence) // max(1, len(rows))):
                picks[rows, 1 + column] = sequence[column * len(rows) : (column + 1) * len(rows)]
        weights = weight[keywords]
        return Draw(picks, None if np.array_equal(weights, np.ones_like(weights)) else weights)

    def identity(self, row: int) -> object:
        return "matched", super().identity(row)


def label_dependence(negatives: ExchangedKeywords, drawn: Draw) -> float:
    """Mutual information of keyword and label in bits, over an epoch's right keywords and their wrong replacements.

    0: language alone says nothing about which caption is right; 1: it says all.
    """
    mass: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for row, (entry, *numbers) in enumerate(drawn.picks.tolist()):
        weight = 1.0 if drawn.weights is None else float(drawn.weights[row])
        variants = negatives.variants[row][entry]
        for number in numbers:
            if number >= 0:
                mass[True][variants.keyword] += weight  # type: ignore[assignment]
                mass[False][variants.replacements[number]] += weight  # type: ignore[assignment]
    words = sorted(mass[True].keys() | mass[False].keys())
    joint = np.array([[mass[label][word] for word in words] for label in (True, False)], dtype=np.float64)
    if not joint.sum():
        return 0.0
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return max(0.0, float((joint[there] * np.log2(joint[there] / independent[there])).sum()))


def dependence_facts(negatives: ExchangedKeywords) -> tuple[dict[str, float], int]:
    """Mutual information of keyword and label in the first epoch, in bits, and captions without a hard negative there.

    Returns:
        By way of drawing, ``uniform`` and if the negatives are, ``matched``; and the number of captions.
    """
    uniform = ExchangedKeywords(negatives.variants, negatives.k)
    facts, unmatched = {"uniform": label_dependence(uniform, uniform.draw(0, 0))}, 0
    if isinstance(negatives, MatchedKeywords):
        drawn = negatives.draw(0, 0)
        facts["matched"], unmatched = label_dependence(negatives, drawn), int((drawn.picks[:, 1] < 0).sum())
    return {way: round(bits, 6) for way, bits in facts.items()}, unmatched


def balanced_flow(
    counts: Ints, targets: Sequence[Ints], k: int, random: np.random.Generator
) -> tuple[list[Ints], Floats]:
    """How often each keyword is exchanged for each of its replacements, so that weighted flows are balanced.

    Args:
        counts: ``(K,)`` captions of each keyword.
        targets: For each keyword the numbers of its replacements among the K; -1 for one that is no keyword.
        k: Exchanges per caption, as far as there are replacements.
        random: Decides on what counts leave open.

    Returns:
        For each keyword how often each replacement is drawn, at most once per caption, all 0 if it has no exchange
        that could be balanced; and ``(K,)`` weights of its captions, which keep the weight of all captions.
    """
    size = len(counts)
    allowed = np.zeros((size, size), dtype=bool)
    for keyword, numbers in enumerate(targets):
        allowed[keyword, numbers[numbers >= 0]] = True
    allowed &= (counts > 0)[:, None] & (counts > 0)
    flow, weights = np.zeros((size, size), dtype=np.int64), np.ones(size)
    for members in _components(allowed):
        inside = allowed[np.ix_(members, members)]
        found, weights[members] = _balanced(counts[members], inside, k, random)
        flow[np.ix_(members, members)] = found
    return [np.where(numbers >= 0, flow[keyword, numbers], 0) for keyword, numbers in enumerate(targets)], weights


def _components(edges: NDArray[np.bool_]) -> list[Ints]:
    """Nodes that reach each other, without those that reach no other."""
    count, labels = connected_components(coo_array(edges), directed=True, connection="strong")
    return [members for n in range(count) if len(members := np.flatnonzero(labels == n)) > 1]


def _balanced(counts: Ints, allowed: NDArray[np.bool_], k: int, random: np.random.Generator) -> tuple[Ints, Floats]:
    """The flow within a component, and the weights of its keywords' captions."""
    totals = counts * np.minimum(k, allowed.sum(axis=1))
    most = np.where(allowed, counts[:, None], 0)
    fitted = _fitted(totals, most)
    for low, high in ((np.floor(fitted), np.ceil(fitted)), (np.zeros_like(fitted), most.astype(np.float64))):
        if (whole := _whole(totals, low, np.minimum(high, most), allowed, random)) is not None:
            return whole, np.ones(len(counts))
    shares = _balanced_shares(totals, allowed)
    flow = np.array([_apportioned(*row, random) for row in zip(shares, totals, counts, strict=True)])
    weights = np.ones(len(counts))
    closed = [
        members for members in _components(flow > 0) if not flow[members].sum() > flow[np.ix_(members, members)].sum()
    ]
    inside = np.zeros(len(counts), dtype=bool)
    for members in closed:
        inside[members] = True
        rates = flow[np.ix_(members, members)] / totals[members, None]
        weight = _stationary(rates) / totals[members]
        weights[members] = weight * counts[members].sum() / (weight * counts[members]).sum()
    flow[~inside] = 0  # by chance of rounding never wrong: no hard negative in this epoch
    return flow, weights


def _fitted(totals: Ints, most: Ints) -> Floats:
    """The flow with these sums of rows and columns that is as even as they allow, if there is one."""
    fitted = np.where(most > 0, 1.0, 0.0)
    for _ in range(_ROUNDS):
        for axis in (1, 0):
            sums = fitted.sum(axis=axis, keepdims=True)
            fitted = np.minimum(fitted * (totals[:, None] if axis else totals) / np.maximum(sums, 1e-300), most)
        if np.abs(fitted.sum(axis=1) - totals).max() < _TOLERANCE * totals.max():
            break
    return fitted


def _whole(
    totals: Ints, low: Floats, high: Floats, allowed: NDArray[np.bool_], random: np.random.Generator
) -> Ints | None:
    """Whole numbers between bounds with these sums of rows and columns, chosen at random; None if there are none."""
    rows, columns = np.nonzero(allowed)
    places, size = np.arange(len(rows)), len(totals)
    ones = np.ones(len(rows))
    matrix = coo_array(
        (np.concatenate([ones, ones]), (np.concatenate([rows, size + columns]), np.concatenate([places, places]))),
        shape=(2 * size, len(rows)),
    )
    # The vertices of a transport polytope with whole bounds are whole.
    result = linprog(
        random.random(len(rows)),
        A_eq=matrix.tocsr(),
        b_eq=np.concatenate([totals, totals]),
        bounds=np.stack([low[rows, columns], high[rows, columns]], axis=1),
        method="highs-ds",
    )
    if result.status != 0:
        return None
    flow = np.zeros((size, size), dtype=np.int64)
    flow[rows, columns] = np.rint(result.x)
    right = np.array_equal(flow.sum(axis=1), totals) and np.array_equal(flow.sum(axis=0), totals)
    return flow if right else None


def _balanced_shares(totals: Ints, allowed: NDArray[np.bool_]) -> Floats:
    """Shares of the flow out of each keyword: the balanced flow that is nearest to uniform draws.

    Nearest in relative entropy is D·F·D⁻¹ of the uniform flow F: the balancing of a matrix (Osborne 1960).
    """
    flow = np.where(allowed, (totals / allowed.sum(axis=1))[:, None], 0.0)
    for _ in range(_ROUNDS):
        for node in range(len(flow)):
            factor = np.sqrt(flow[:, node].sum() / flow[node].sum())
            flow[node] *= factor
            flow[:, node] /= factor
        out, into = flow.sum(axis=1), flow.sum(axis=0)
        if np.abs(out - into).max() < _TOLERANCE * out.max():
            break
    shares: Floats = flow / flow.sum(axis=1, keepdims=True)
    return shares


def _apportioned(shares: Floats, total: int, most: int, random: np.random.Generator) -> Ints:
    """Whole numbers in proportion to shares, none above ``most``, by largest remainders; ties at random."""
    exact = shares * total
    while (exact > most + 1e-9).any():
        full = exact >= most
        rest, left = shares[~full].sum(), total - most * full.sum()
        exact = np.where(full, most, shares * left / rest if rest else 0.0)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    remainders = np.where((shares > 0) & (whole < most), exact - whole + 1e-6 * random.random(len(shares)), -np.inf)
    whole[np.argsort(-remainders)[: total - whole.sum()]] += 1
    return whole


def _stationary(rates: Floats) -> Floats:
    """The distribution m with m·rates = m."""
    size = len(rates)
    system = np.concatenate([rates.T - np.eye(size), np.ones((1, size))])
    distribution: Floats = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    return distribution
