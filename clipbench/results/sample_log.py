"""Sample logs: ``samples_<task>_<time>.jsonl``, one line per sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.task_types.registry import find_task_type
from clipbench.types import LoggedSample, SampleResult
from clipbench.utils.files import open_regular
from clipbench.utils.json_files import is_regular_file, parse_json
from clipbench.utils.text import excerpt

if TYPE_CHECKING:
    from clipbench.results.results import Results

_LONGEST_LINE = 64 << 20  # bytes
_BUFFER = 256 << 10  # bytes: lines are read in half the time that they take with 8 kB
_LARGEST_FLOAT32 = 3.4e38
_NUMBERS = {float, int}  # as JSON gives them: not its truth values


def sample_line(task: str, result: SampleResult) -> Mapping[str, object]:
    """What the log holds of one sample; the task type's own part, ``record``, is made by its ``score_sample``."""
    return {
        "doc_id": result.sample_id,
        "task": task,
        "group": result.group,
        "cluster": result.cluster,
        **result.record,
        **result.values,
        "correct": result.correct,
        "tied": result.tied,
    }


def logged_samples(results_path: Path, task: str) -> Iterator[LoggedSample]:
    """Read the samples that were logged with a result file.

    Raises:
        ResultError: There is no log, a line cannot be read or is not a sample, or a sample appears twice; names file
            and line.
    """
    path = samples_path(results_path, task)
    if not is_regular_file(path):
        raise ResultError(f"{path}: does not exist; evaluate with log_samples")
    seen: dict[str, int] = {}
    offset = 0
    for number, line in _lines(path):
        try:
            sample = _parse(line, task, offset)
        except ValueError as error:
            raise ResultError(f"{path}:{number}: {error}") from None
        first = seen.setdefault(sample.id, number)
        if first != number:
            raise ResultError(f"{path}:{number}: sample {excerpt(sample.id, 60)!r} appears twice, also in line {first}")
        offset += len(line)
        yield sample


def samples_at(results_path: Path, task: str, offsets: Iterable[int]) -> Iterator[LoggedSample]:
    """Read some of the samples again that ``logged_samples`` has read, without the rest of the log.

    Args:
        results_path: The result file.
        task: The task.
        offsets: Where their lines begin (``LoggedSample.offset``).

    Raises:
        ResultError: The log cannot be read, or no sample is there any longer; names file and byte.
    """
    path = samples_path(results_path, task)
    try:
        with open_regular(path) as handle:
            for offset in sorted(offsets):
                handle.seek(offset)
                try:
                    yield _parse(handle.readline(_LONGEST_LINE), task, offset)
                except ValueError as error:
                    raise ResultError(f"{path}: at byte {offset}: {error}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def log_problem(results: Results, task: str, logged: int) -> str | None:
    """A line for the user if a log does not match its result file in the number of samples; else None.

    Args:
        results: The content of the result file.
        task: The task; those whose scores depend on the whole set log queries, which are not compared.
        logged: The number of samples in the log.
    """
    result = results.tasks.get(task)
    if result is None or find_task_type(result.task_type).whole_set or result.counts.effective == logged:
        return None
    return f"{task}: {logged:,} samples are logged, but the result file scored {result.counts.effective:,}"


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1; of a file without line ends, no more than a bounded part is read."""
    number = 0
    try:
        with open_regular(path, _BUFFER) as handle:
            while line := handle.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise ResultError(f"{path}:{number}: a line of more than {_LONGEST_LINE >> 20} MB is not a sample")
                yield number, line
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ResultError:
    return ResultError(f"{path}: cannot be read: {error.strerror or error}")


def _parse(raw: bytes, task: str, offset: int) -> LoggedSample:
    """A line's sample, or a ``ValueError`` that says what is wrong with the line."""
    try:
        line = parse_json(raw, lone_surrogates=True)
    except ValueError as error:
        raise ValueError(f"not a JSON line: {error}") from None
    try:
        return _sample(line, offset)
    except ValueError as error:
        raise ValueError(f"not a sample of {task}: {error}") from None


def _sample(line: Any, offset: int) -> LoggedSample:
    # Logs of schema version 1 hold one key in `image`, and have `acc` where `correct` is now.
    if not isinstance(line, dict):
        raise ValueError("not an object with fields")
    images = _texts(line, "images") if "images" in line else (_text(line, "image"),)
    texts = _texts(line, "texts")
    return LoggedSample(
        id=_text(line, "doc_id"),
        correct=_flag(line, "correct") if "correct" in line else _share(line, "acc") > 0,
        tied=_flag(line, "tied") if "tied" in line else False,
        group=_text(line, "group"),
        cluster=_text(line, "cluster") if line.get("cluster") else images[0],
        images=images,
        texts=texts,
        scores=_scores(line, len(images), len(texts)),
        values=line,
        offset=offset,
    )


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is {excerpt(repr(value), 40)}, not a text")
    return value


def _texts(line: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = line.get(name)
    if not isinstance(value, list) or set(map(type, value)) != {str}:
        raise ValueError(f"`{name}` is {excerpt(repr(value), 40)}, not a list of texts")
    return tuple(value)


def _flag(line: Mapping[str, Any], name: str) -> bool:
    value = line.get(name)
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(f"`{name}` is {excerpt(repr(value), 40)}, not true or false")
    return bool(value)


def _share(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` is {excerpt(repr(value), 40)}, not a share between 0 and 1")
    return float(value)


def _scores(line: Mapping[str, Any], images: int, texts: int) -> tuple[tuple[float, ...], ...]:
    scores = line.get("scores")
    rows: list[Any] = scores if isinstance(scores, list) and scores and isinstance(scores[0], list) else [scores]
    if [len(row) if isinstance(row, list) else None for row in rows] != [texts] * images:
        raise ValueError(f"`scores` are not {images} x {texts}, a row an image and a column a text")
    for row in rows:
        if not set(map(type, row)) <= _NUMBERS or not -_LARGEST_FLOAT32 < min(row) <= max(row) < _LARGEST_FLOAT32:
            wrong = next(score for score in row if type(score) not in _NUMBERS or not abs(score) < _LARGEST_FLOAT32)
            raise ValueError(f"`scores` hold {excerpt(repr(wrong), 40)}, not a number")
    return tuple([tuple(map(float, row)) for row in rows])
