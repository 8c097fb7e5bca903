"""clipbench: benchmarks and hard-negative training for CLIP-like models.

>>> import clipbench
>>> [task.name for task in clipbench.load_tasks("inpaintcoco")]
['inpaintcoco_color', 'inpaintcoco_object', 'inpaintcoco_size']

``evaluate`` scores a model on tasks, ``finetune`` trains one on hard negatives, ``compare`` tests whether
one run is better than another, ``build_leaderboard`` merges results into a board, and ``plot`` has figures. The
classes are those that users subclass or declare.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipbench import plot
    from clipbench.analysis.comparison import compare_runs as compare
    from clipbench.analysis.leaderboard.merge import build_leaderboard
    from clipbench.concepts import Concept, load_concept
    from clipbench.data import Dataset, HubTable
    from clipbench.errors import ClipbenchError
    from clipbench.evaluation.api import evaluate
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.models import Model, load_model
    from clipbench.results import Results, read_results
    from clipbench.task_types import (
        ChoiceTask,
        ClassificationTask,
        ImageChoiceTask,
        PairsTask,
        RankingTask,
        RetrievalTask,
        SampleTask,
        Task,
    )
    from clipbench.task_types.registry import select_tasks as load_tasks
    from clipbench.training.recipe import Recipe
    from clipbench.training.trainer import finetune

# Resolved on first use: `import clipbench` must stay cheap, torch is not. `module:attribute`, or the module where the
# name is the same; a module of that name is meant itself.
_LAZY = {
    "ChoiceTask": "clipbench.task_types",
    "ClassificationTask": "clipbench.task_types",
    "ClipbenchError": "clipbench.errors",
    "Concept": "clipbench.concepts",
    "Dataset": "clipbench.data",
    "EvaluationOptions": "clipbench.evaluation.options",
    "HubTable": "clipbench.data",
    "ImageChoiceTask": "clipbench.task_types",
    "Model": "clipbench.models",
    "PairsTask": "clipbench.task_types",
    "RankingTask": "clipbench.task_types",
    "Recipe": "clipbench.training.recipe",
    "Results": "clipbench.results",
    "RetrievalTask": "clipbench.task_types",
    "SampleTask": "clipbench.task_types",
    "Task": "clipbench.task_types",
    "build_leaderboard": "clipbench.analysis.leaderboard.merge",
    "compare": "clipbench.analysis.comparison:compare_runs",
    "evaluate": "clipbench.evaluation.api",
    "finetune": "clipbench.training.trainer",
    "load_concept": "clipbench.concepts",
    "load_model": "clipbench.models",
    "load_tasks": "clipbench.task_types.registry:select_tasks",
    "plot": "clipbench.plot",
    "read_results": "clipbench.results",
}

__all__ = [
    "ChoiceTask", "ClassificationTask", "ClipbenchError", "Concept", "Dataset", "EvaluationOptions", "HubTable",
    "ImageChoiceTask", "Model", "PairsTask", "RankingTask", "Recipe", "Results", "RetrievalTask", "SampleTask", "Task",
    "build_leaderboard", "compare", "evaluate", "finetune", "load_concept", "load_model", "load_tasks", "plot",
    "read_results",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'clipbench' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    found = import_module(module)
    return found if module == f"clipbench.{name}" else getattr(found, attribute or name)


def __dir__() -> list[str]:
    """The public names, loaded or not, and what every module has."""
    return sorted({*(name for name in globals() if name.startswith("__")), *_LAZY})
