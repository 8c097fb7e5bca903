"""What scores depend on: two runs of one identity give the same numbers, so one may resume or reuse the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING

from clipbench.errors import DataError
from clipbench.evaluation.assembly import declaration
from clipbench.types import ImageRef
from clipbench.utils.digest import digest

if TYPE_CHECKING:
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.preparation import PreparedTask
    from clipbench.models import Model


def task_identity(prepared: PreparedTask) -> dict[str, object]:
    """What a task's scores depend on, apart from the model: declaration, data and clipbench's scoring version."""
    from clipbench.inference.embedding_cache.feature_key import SCORING_VERSION

    return {
        "task": declaration(prepared.task),
        "data": prepared.source.provenance.fingerprint if prepared.source else None,
        "limit": prepared.report.limit,
        "scoring": SCORING_VERSION,
    }


def options_identity(options: EvaluationOptions) -> dict[str, object]:
    """The options that scores depend on, apart from the data and the batch size."""
    return {
        "allow_missing": options.allow_missing,
        "seed": options.seed,
        "prompt": [options.text_template, options.lowercase],
    }


def images_digest(prepared: PreparedTask, options: EvaluationOptions) -> str | None:
    """Digest of the contents of a task's images, which the fingerprint of local data omits. Reads them all once.

    Args:
        prepared: The task.
        options: The run's options.

    Returns:
        The digest; None if the content of an image cannot be identified, so that no two runs can be assumed equal.

    Raises:
        DataError: A row or column cannot be read.
    """
    if prepared.source is None:
        return None
    if prepared.source.provenance.revision:  # a commit on the hub covers the images too
        return prepared.source.provenance.fingerprint
    report = prepared.report.again()
    samples = report.track(prepared.task.samples(prepared.source))
    seen: set[str] = set()
    total = hashlib.sha256()
    with ThreadPoolExecutor(options.workers) as pool:
        while batch := list(islice(samples, 256)):
            refs = {ref.key: ref for sample in batch for ref in sample.images if ref.key not in seen}
            seen.update(refs)
            if any(ref.content is None for ref in refs.values()):
                return None
            for content in pool.map(_content, refs.values()):
                total.update(digest(content.hex()).encode())
    return total.hexdigest()


def _content(ref: ImageRef) -> bytes:
    with suppress(DataError):  # a broken image counts as empty, so repairing it changes the digest
        return ref.content() if ref.content else b""
    return b""


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
            [task_identity(prepared), asdict(prepared.source.provenance) if prepared.source else None,
             prepared.error]
            for prepared in tasks
        ],
        "options": {
            "data": dict(options.data),
            "batch_size": options.batch_size,
            "streaming": options.streaming,
            **options_identity(options),
        },
    }  # fmt: skip
