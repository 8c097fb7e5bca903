"""How a sample is scored: pairs (Eq. 1), ranking and choice (one image, n texts), retrieval, classification."""

from clipbench.task_types.base import SampleTask, Task
from clipbench.task_types.choice import ChoiceTask, ImageChoiceTask
from clipbench.task_types.classification import ClassificationTask
from clipbench.task_types.pairs import PairsTask
from clipbench.task_types.ranking import RankingTask
from clipbench.task_types.retrieval import RetrievalTask

__all__ = [
    "ChoiceTask",
    "ClassificationTask",
    "ImageChoiceTask",
    "PairsTask",
    "RankingTask",
    "RetrievalTask",
    "SampleTask",
    "Task",
]
