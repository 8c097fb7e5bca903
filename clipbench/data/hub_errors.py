"""Errors of the hub and of data files, as one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from clipbench.data.dataset import Dataset
from clipbench.errors import DataError
from clipbench.utils.hub import causes, class_names, cut_off, error_status, not_reached, unanswered


@contextmanager
def explained(dataset: Dataset, what: str) -> Iterator[None]:
    """Turn any error of the hub client, datasets or Arrow into a ``DataError``.

    Args:
        dataset: The dataset; its instructions end the message.
        what: The repository or path being read.

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
    """How to continue without the hub."""
    copy = f"; or get a local copy: {_line(dataset.instructions).rstrip('.')}" if dataset.instructions else ""
    return f"{copy}; to use a local copy, give `data` {dataset.name}=PATH"


def unreachable(error: BaseException) -> bool:
    """Whether the hub did not respond, so that a cached copy has to be used."""
    return not_reached(error) or cut_off(error) or (error_status(error) or 0) >= 500


def reason(error: BaseException, what: str) -> str:
    """The cause in plain words, from an exception and the exceptions that caused it."""
    names = class_names(error)
    status = error_status(error)
    if "GatedRepoError" in names:
        return (
            f"needs access: accept the terms at https://huggingface.co/datasets/{what}, then log in with"
            " `hf auth login` or set HF_TOKEN"
        )
    if "OfflineModeIsEnabled" in names and not unanswered():
        return "offline mode is on (HF_HUB_OFFLINE) and the data is not in the cache: unset it for the first run"
    if "RevisionNotFoundError" in names:
        return "the hub has no such revision of the dataset"
    if "RepositoryNotFoundError" in names or status == 401:
        return "no such dataset on the hub, or it is private: log in with `hf auth login` or set HF_TOKEN"
    if status is not None:
        return f"the hub responded with status {status}: {_line(str(error))[:120]}; try again later"
    for link in causes(error):
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return "no space left on the disk of the cache (HF_HOME)"
        if isinstance(link, PermissionError):
            return f"no permission to write {link.filename or 'the cache'} (HF_HOME)"
    if cut_off(error):
        return "the download was interrupted: run it again to resume"
    if not_reached(error):
        return "the hub cannot be reached and the data is not in the cache: check the connection"
    if names & {"ArrowInvalid", "ArrowIOError", "ArrowException"}:
        return f"a data file is corrupt or truncated ({_line(str(_innermost(error)))[:160]}): download it again"
    innermost = _innermost(error)
    return f"cannot be read: {type(innermost).__name__}: {_line(str(innermost))[:200]}"


def _innermost(error: BaseException) -> BaseException:
    """The cause inside wrappers such as ``DatasetGenerationError``."""
    link = error
    while link.__cause__ is not None:
        link = link.__cause__
    return link


def _line(text: str) -> str:
    return " ".join(text.split())
