"""Similarities that were computed elsewhere, scored sample by sample like those of a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from clipbench.data.records import file_digest
from clipbench.data.table_lines import TextTable
from clipbench.errors import DataError, ResultError
from clipbench.evaluation.assembly import assemble_results
from clipbench.evaluation.options import EvaluationOptions, Progress, ignore_progress
from clipbench.evaluation.preparation import PreparedTask, without_images
from clipbench.evaluation.task_scoring import score_tasks
from clipbench.inference.profile import Profile
from clipbench.models.base import ModelInfo
from clipbench.task_types.base import SampleTask
from clipbench.types import Sample, SampleError

if TYPE_CHECKING:
    from clipbench.evaluation.task_scoring import SampleSink
    from clipbench.inference.scorer import ScoredSample, Scorer
    from clipbench.metrics import Floats
    from clipbench.models import Model
    from clipbench.results import Results, ResultsDirectory

_SCORES = dict[tuple[int, int], float]


class ScoreFile:
    """Similarities by sample.

    Args:
        path: JSON lines with ``doc_id`` (as in sample logs), ``scores`` (a row per image, or a flat list if there is
            only one image) and optionally ``task``; or CSV with the columns ``doc_id``, ``image``, ``text`` (indices
            from 0), ``score`` and optionally ``task``.

    Attributes:
        fingerprint: Digest of the file's content.
        info: The model's description in results.
        profile: Empty, because nothing is encoded.
        truncated_texts: 0.
        unused: The number of samples in the file that belong to no task.

    Raises:
        DataError: The file cannot be read; names the line.
    """

    def __init__(self, path: Path) -> None:
        self.profile, self.truncated_texts = Profile(), 0
        self.model = SimpleNamespace(opens_images=False)  # as a Scorer's
        self.info = ModelInfo(library="imported scores")
        self._path, self._task = path, ""
        self._on_progress: Callable[[int], None] = lambda done: None
        self._scores: dict[tuple[str, str], _SCORES] = {}
        for line in TextTable(path).lines():
            self._add(line.where, line.values)
        self.fingerprint = file_digest(path)
        self._used: set[tuple[str, str]] = set()

    @property
    def unused(self) -> int:
        return len(self._scores) - len(self._used)

    def begin(
        self,
        task: str,
        *,
        images_return: bool,
        language: str = "",
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Announce a task, as to a ``Scorer``."""
        self._task, self._on_progress = task, on_progress

    def similarities(self, samples: Iterable[Sample], namespace: str) -> Iterator[ScoredSample]:
        """Each sample's similarities, as from a ``Scorer``, or which of them the file lacks."""
        from clipbench.inference.scorer import ScoredSample

        for done, sample in enumerate(samples, 1):
            yield ScoredSample(sample, self._matrix(sample))
            self._on_progress(done)

    def _matrix(self, sample: Sample) -> Floats | SampleError:
        key = (self._task, sample.id) if (self._task, sample.id) in self._scores else ("", sample.id)
        found = self._scores.get(key)
        if found is None:
            return SampleError(sample.id, "", f"{self._path} has no scores of it")
        self._used.add(key)
        shape = len(sample.images), len(sample.texts)
        places = [(image, text) for image in range(shape[0]) for text in range(shape[1])]
        missing = [place for place in places if place not in found]
        if missing:
            lacking = (
                f"{len(missing)} of {len(places)} scores, such as of image {missing[0][0]} and text {missing[0][1]}"
            )
            return SampleError(sample.id, "", f"{self._path} lacks {lacking}")
        if len(found) > len(places):
            reason = f"{len(found)} scores for {shape[0]} images and {shape[1]} texts"
            return SampleError(sample.id, "", f"{self._path} has {reason}")
        return np.array([found[place] for place in places], dtype=np.float32).reshape(shape)

    def _add(self, where: str, entry: Mapping[str, Any]) -> None:
        try:
            key = str(entry.get("task") or ""), str(entry["doc_id"])
            if "scores" in entry:
                rows = entry["scores"]
                nested = bool(rows) and isinstance(rows[0], list)
                cells = [(image, text, value) for image, row in enumerate(rows if nested else [rows])
                         for text, value in enumerate(row)]  # fmt: skip
            else:
                cells = [(int(entry["image"]), int(entry["text"]), entry["score"])]
            scores = [(image, text, float(value)) for image, text, value in cells]
        except KeyError as error:
            raise DataError(f"{where}: lacks {error.args[0]!r}") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: not a sample's scores: {str(error)[:100]}") from None
        found = self._scores.setdefault(key, {})
        for image, text, value in scores:
            if not math.isfinite(value):
                raise DataError(f"{where}: the score of image {image} and text {text} is {value}")
            if (image, text) in found:
                raise DataError(f"{where}: sample {key[1]} has two scores of image {image} and text {text}")
            found[image, text] = value


def import_scores(
    scores: ScoreFile,
    tasks: Sequence[PreparedTask],
    options: EvaluationOptions,
    *,
    name: str,
    directory: ResultsDirectory | None = None,
    on_progress: Progress = ignore_progress,
    on_error: Callable[[ResultError], None] | None = None,
) -> Results:
    """Score tasks with imported similarities.

    Args:
        scores: The file.
        tasks: Tasks whose samples are scored one by one (pairs, ranking, choice), with their data.
        options: Only ``allow_missing`` matters.
        name: The model's name in the results.
        directory: Where results and sample logs are written.
        on_progress: Called with a task's name, samples done, and their total if known.
        on_error: Called with the error if results or samples cannot be written; the results are still returned. By
            default it is raised.

    Raises:
        DataError: A task needs features, not scores.
        ResultError: Results cannot be written.
    """
    for prepared in tasks:
        if not isinstance(prepared.task, SampleTask):
            raise DataError(
                f"{prepared.task.name}: a {prepared.task.task_type} task ranks the whole set: score embeddings of it"
                " instead (embeddings:FILE)"
            )
    started = time.time()

    def open_sink(prepared: PreparedTask) -> AbstractContextManager[SampleSink | None]:
        return directory.samples(prepared.task.name, on_error) if directory else nullcontext()

    tasks = [without_images(prepared, options) for prepared in tasks]
    done = list(score_tasks(tasks, cast("Scorer", scores), options, open_sink, on_progress))
    results = assemble_results(done, cast("Model", scores), options, name=name, started=started)
    if directory:
        try:
            directory.write(results)
        except ResultError as error:
            if on_error is None:
                raise
            on_error(error)
    return results
