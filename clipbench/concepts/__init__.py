"""Concepts: the keywords a caption is varied by (§3.1 of the paper)."""

from clipbench.concepts.concept import Concept, Variants
from clipbench.concepts.loading import concept_names, load_concept

__all__ = ["Concept", "Variants", "concept_names", "load_concept"]
