"""clipbench: benchmarks for CLIP-like models.

>>> import clipbench
>>> [task.name for task in clipbench.load_tasks("inpaintcoco")]
['inpaintcoco_color', 'inpaintcoco_object', 'inpaintcoco_size']

``clipbench.load_model`` loads a model, ``clipbench.evaluate`` scores it on tasks, ``clipbench.finetune`` trains one on
hard negatives, and ``clipbench.build_leaderboard`` puts results together to a board.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipbench.analysis.leaderboard.merge import build_leaderboard
    from clipbench.evaluation.api import evaluate
    from clipbench.models import load_model
    from clipbench.task_types.registry import select_tasks as load_tasks
    from clipbench.training.trainer import finetune

__all__ = ["build_leaderboard", "evaluate", "finetune", "load_model", "load_tasks"]

# Resolved on first use: `import clipbench` must stay cheap, torch is not.
_HOMES = {
    "build_leaderboard": ("clipbench.analysis.leaderboard.merge", "build_leaderboard"),
    "evaluate": ("clipbench.evaluation.api", "evaluate"),
    "finetune": ("clipbench.training.trainer", "finetune"),
    "load_model": ("clipbench.models", "load_model"),
    "load_tasks": ("clipbench.task_types.registry", "select_tasks"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'clipbench' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
