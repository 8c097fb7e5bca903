"""How often keywords occur in captions, and what a rule that knows nothing else gets right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clipbench.concepts import Concept


@dataclass
class KeywordCounts:
    """Counts over captions.

    Attributes:
        captions: Captions read.
        empty: Rows without a caption.
        unreadable: Samples that could not be read.
        keywords: Captions of each keyword.
    """

    captions: int = 0
    empty: int = 0
    unreadable: int = 0
    keywords: Counter[str] = field(default_factory=Counter)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add counts as ``to_dict`` gives them."""
        self.captions += int(other["captions"])
        self.empty += int(other["empty"])
        self.unreadable += int(other["unreadable"])
        self.keywords.update(other["keywords"])

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            "captions": self.captions,
            "empty": self.empty,
            "unreadable": self.unreadable,
            "keywords": dict(sorted(self.keywords.items())),
        }


def keyword_statistics(counts: KeywordCounts, concept: Concept) -> dict[str, Any]:
    """Statistics of the mined captions.

    ``keyword_prior`` is the blind baseline of ranking: the share of captions whose keyword is strictly more frequent
    than each of its replacements in all *other* captions (``clipbench.task_types.blind``, every caption taken as one
    of its own image). ``keyword_prior_balanced`` gives every keyword the same weight.

    Returns:
        ``captions``, ``mined``, ``empty``, ``unreadable``, ``chance``, ``keyword_prior``, ``keyword_prior_balanced``,
        and ``keywords``: for each its ``captions``, ``share``, ``replacements`` and ``keyword_prior``.
    """
    mined = counts.keywords.total()
    keywords: dict[str, dict[str, float]] = {}
    for word, others in concept.replacements.items():
        if not (count := counts.keywords[word]):
            continue
        won = count - 1 > max(counts.keywords[other] for other in others)
        keywords[word] = {
            "captions": count,
            "share": count / mined,
            "replacements": len(others),
            "keyword_prior": float(won),
        }
    right = sum(entry["captions"] for entry in keywords.values() if entry["keyword_prior"])
    chance = sum(entry["captions"] / (1 + entry["replacements"]) for entry in keywords.values())
    return {
        "captions": counts.captions,
        "mined": mined,
        "empty": counts.empty,
        "unreadable": counts.unreadable,
        "chance": chance / mined if mined else None,
        "keyword_prior": right / mined if mined else None,
        "keyword_prior_balanced": (
            sum(entry["keyword_prior"] for entry in keywords.values()) / len(keywords) if keywords else None
        ),
        "keywords": keywords,
    }
