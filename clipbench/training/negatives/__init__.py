"""Sources of hard negatives: keywords exchanged, columns of the data, and what `clipbench negatives` writes."""

from clipbench.training.negatives.base import Draw, Negatives
from clipbench.training.negatives.given import GivenNegatives
from clipbench.training.negatives.keywords import ExchangedKeywords
from clipbench.training.negatives.matched import MatchedKeywords, dependence_facts, label_dependence

__all__ = [
    "Draw",
    "ExchangedKeywords",
    "GivenNegatives",
    "MatchedKeywords",
    "Negatives",
    "dependence_facts",
    "label_dependence",
]
