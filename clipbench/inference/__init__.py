"""From samples to similarities: batching, read-ahead, and features kept for images that return."""

from clipbench.inference.batching import BatchSize
from clipbench.inference.journal import Journal
from clipbench.inference.profile import Profile
from clipbench.inference.scorer import Scored, Scorer

__all__ = ["BatchSize", "Journal", "Profile", "Scored", "Scorer"]
