"""How a sample is judged: pairs (Eq. 1), ranking (one image, n texts), retrieval (N × M)."""

from clipbench.task_types.base import Task
from clipbench.task_types.pairs import PairsTask
from clipbench.task_types.ranking import RankingTask
from clipbench.task_types.retrieval import RetrievalTask

__all__ = ["PairsTask", "RankingTask", "RetrievalTask", "Task"]
