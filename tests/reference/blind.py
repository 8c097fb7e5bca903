"""The blind rules as loops over samples: for each one, everything is counted again in the samples of other images."""

import math
import re
from fractions import Fraction


def first_word(text):
    return (text.split() or [""])[0].lower()


def keyword_rules(samples):
    """Of each sample, whether ``keyword_prior`` and ``context_prior`` have it right."""
    facts = [
        (
            sample.cluster,
            sample.texts.keyword,
            first_word(" ".join(sample.texts.caption[: sample.texts.start].split()[::-1])),
            first_word(sample.texts.caption[sample.texts.end :]),
        )
        for sample in samples
    ]
    decided = []
    for sample, (image, _, before, after) in zip(samples, facts, strict=True):
        others = [fact for fact in facts if fact[0] != image]
        candidates = [sample.texts.keyword, *sample.texts.replacements]
        counts = [sum(other[1] == word for other in others) for word in candidates]
        shares = [Fraction(count + 1, sum(counts) + len(counts)) for count in counts]
        likely = []
        for word, share in zip(candidates, shares, strict=True):
            left = sum(other[1:3] == (word, before) for other in others)
            right = sum((other[1], other[3]) == (word, after) for other in others)
            likely.append((left + share) * (right + share) / share)
        decided.append((counts[0] > max(counts[1:]), likely[0] > max(likely[1:])))
    return decided


def balanced(samples, decided):
    """For each rule, the mean over groups of the share of a group's samples that it has right."""
    groups = {sample.group for sample in samples}
    means = []
    for wins in zip(*decided, strict=True):
        shares = []
        for group in groups:
            found = [won for sample, won in zip(samples, wins, strict=True) if sample.group == group]
            shares.append(Fraction(sum(found), len(found)))
        means.append(float(sum(shares) / len(groups)))
    return means


def text_rules(samples, true_counts):
    """Of each sample, whether the longest text, the shortest, and those of the most frequent words and pairs are true.

    The first ``true_counts[i]`` texts of sample i are true.
    """

    def words(text):
        return re.findall(r"\w+", text.lower())

    def pairs(text):
        return list(zip(["", *words(text)], words(text), strict=False))

    decided = []
    for sample, true in zip(samples, true_counts, strict=True):
        lengths = [len(text) for text in sample.texts]
        rules = [lengths, [-length for length in lengths]]
        for parts in (words, pairs):
            counted = [
                part
                for other, number in zip(samples, true_counts, strict=True)
                if other.cluster != sample.cluster
                for text in other.texts[:number]
                for part in parts(text)
            ]
            logs = [[math.log(1 + counted.count(part)) for part in parts(text)] for text in sample.texts]
            rules.append([round(math.fsum(found) / max(1, len(found)), 9) for found in logs])
        decided.append(tuple(min(values[:true]) > max(values[true:]) for values in rules))
    return decided
