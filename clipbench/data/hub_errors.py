"""What went wrong between here and the hub, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from clipbench.data.dataset import Dataset
from clipbench.errors import DataError
from clipbench.utils.hub import causes, class_names, cut_off, error_status, not_reached


@contextmanager
def explained(dataset: Dataset, what: str) -> Iterator[None]:
    """Turn whatever the hub client, datasets and Arrow raise into a :class:`DataError`.

    Args:
        dataset: Whose instructions the message ends with.
        what: The repository or path that is read.

    Raises:
        DataError: Something was raised inside.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{what}: {reason(error, what)}{advice(dataset)}") from error


def advice(dataset: Dataset) -> str:
    """How to go on without the hub."""
    bring = f"; or bring the data yourself: {_line(dataset.instructions).rstrip('.')}" if dataset.instructions else ""
    return f"{bring}; a local copy is used with --data {dataset.name}=PATH"


def unreachable(error: BaseException) -> bool:
    """Whether the hub could not be asked at all, so that a cached copy has to do."""
    return not_reached(error) or cut_off(error) or (error_status(error) or 0) >= 500


def reason(error: BaseException, what: str) -> str:
    """The cause in plain words, taken from an exception and what it was raised from."""
    names = class_names(error)
    status = error_status(error)
    if "GatedRepoError" in names:
        return (
            "access is restricted: ask for it on the dataset's page on the hub, then log in with"
            " `hf auth login` or set HF_TOKEN"
        )
    if "OfflineModeIsEnabled" in names:
        return "offline mode is on (HF_HUB_OFFLINE) and the data is not in the cache: unset it for the first run"
    if "RevisionNotFoundError" in names:
        return "the hub has no such revision of the dataset"
    if "RepositoryNotFoundError" in names or status == 401:
        return "no such dataset on the hub, or it is private: log in with `hf auth login` or set HF_TOKEN"
    if status is not None:
        return f"the hub answered with status {status}: {_line(str(error))[:120]}; try again later"
    for link in causes(error):
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return "no space left on the disk of the cache (HF_HOME)"
        if isinstance(link, PermissionError):
            return f"no permission to write {link.filename or 'the cache'} (HF_HOME)"
    if cut_off(error):
        return "the download was cut off: run the command again, what is complete is kept"
    if not_reached(error):
        return "the hub cannot be reached and the data is not in the cache: check the connection"
    if names & {"ArrowInvalid", "ArrowIOError", "ArrowException"}:
        return f"a data file is broken or cut off ({_line(str(_innermost(error)))[:160]}): fetch it again"
    innermost = _innermost(error)
    return f"cannot be read: {type(innermost).__name__}: {_line(str(innermost))[:200]}"


def _innermost(error: BaseException) -> BaseException:
    """The cause that wrappers such as ``DatasetGenerationError`` only point at."""
    link = error
    while link.__cause__ is not None:
        link = link.__cause__
    return link


def _line(text: str) -> str:
    return " ".join(text.split())
