"""What scores depend on: two runs of one identity give the same numbers, so one may resume or reuse the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING

from clipbench.evaluation.assembly import declaration

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.preparation import PreparedTask
    from clipbench.models import Model


def task_identity(prepared: PreparedTask, limit: int | None) -> dict[str, object]:
    """What a task's scores depend on, apart from the model: declaration, data and clipbench's scoring version."""
    from clipbench.inference.embedding_cache.feature_key import SCORING_VERSION

    return {
        "task": declaration(prepared.task),
        "data": prepared.source.provenance.fingerprint if prepared.source else None,
        "limit": limit,
        "scoring": SCORING_VERSION,
    }


def run_identity(
    model: Model, name: str, tasks: Sequence[PreparedTask], options: EvaluationOptions
) -> dict[str, object]:
    """What a run's results depend on; see ``clipbench.utils.digest.digest``.

    Threads, processes and the embedding cache are left out: they change no number.

    Args:
        model: The model.
        name: What the results call it.
        tasks: The tasks.
        options: The run's options.

    Raises:
        ModelError: The model's weights cannot be identified.
    """
    from clipbench.inference.embedding_cache.feature_key import feature_key_of

    return {
        "clipbench": metadata.version("clipbench"),
        "model": [name, feature_key_of(model).key],
        "tasks": [
            [task_identity(prepared, options.limit), asdict(prepared.source.provenance) if prepared.source else None,
             prepared.error]
            for prepared in tasks
        ],
        "options": {
            "data": dict(options.data),
            "batch_size": options.batch_size,
            "allow_missing": options.allow_missing,
            "streaming": options.streaming,
            "seed": options.seed,
        },
    }  # fmt: skip
