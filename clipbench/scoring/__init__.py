"""From samples to similarities: batching, read-ahead, and features kept for images that return."""

from clipbench.scoring.batching import BatchSize
from clipbench.scoring.journal import Journal
from clipbench.scoring.profile import Profile
from clipbench.scoring.scorer import Scored, Scorer

__all__ = ["BatchSize", "Journal", "Profile", "Scored", "Scorer"]
