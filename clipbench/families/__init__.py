"""How a sample is judged: pairs (Eq. 1), ranking (one image, n texts), retrieval (N × M)."""

from clipbench.families.pairs import PairsTask
from clipbench.families.ranking import RankingTask
from clipbench.families.retrieval import RetrievalTask
from clipbench.families.task import Task

__all__ = ["PairsTask", "RankingTask", "RetrievalTask", "Task"]
