"""Writing a checkpoint so that a directory never holds half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from clipbench.errors import ModelError
from clipbench.models.spec import OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG


@contextlib.contextmanager
def writing_checkpoint(directory: Path) -> Iterator[Path]:
    """Give a new directory beside ``directory`` to write to, and put its files in place when all went well.

    A directory that is not there appears whole. In one that is, files are replaced one by one, the configuration
    last; other files in it are left alone.

    Raises:
        ModelError: The directory cannot be written, or what is there is not a checkpoint.
    """
    directory = Path(directory)
    _check_target(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        beside = directory.parent / f".{directory.name}.{uuid.uuid4().hex[:8]}"
        beside.mkdir()
    except OSError as error:
        raise ModelError(f"cannot write a checkpoint to {directory}: {error.strerror or error}") from None
    try:
        yield beside
        put_in_place(beside, directory)
    except OSError as error:
        raise ModelError(f"cannot write a checkpoint to {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_target(directory: Path) -> None:
    if directory.is_file():
        raise ModelError(f"cannot write a checkpoint to {directory}: it is a file")
    configs = (TRANSFORMERS_CONFIG, OPEN_CLIP_CONFIG)
    if directory.is_dir() and any(directory.iterdir()) and not any((directory / name).is_file() for name in configs):
        raise ModelError(f"{directory} holds other files and no checkpoint: pass a new or empty directory")


def put_in_place(beside: Path, directory: Path) -> None:
    """Move a checkpoint's files into a directory, the configuration last; an older checkpoint's weights go.

    Raises:
        OSError: A file cannot be moved.
    """
    _open_up(beside)
    if not directory.exists():
        os.replace(beside, directory)
        return
    configs = [name for name in (TRANSFORMERS_CONFIG, OPEN_CLIP_CONFIG) if (beside / name).is_file()]
    # Weights and configuration of an older checkpoint would be found first, or mixed in.
    stale = {TRANSFORMERS_CONFIG, OPEN_CLIP_CONFIG, *(file.name for file in _weights(directory))}
    for name in stale - {file.name for file in beside.iterdir()}:
        (directory / name).unlink(missing_ok=True)
    for file in sorted(beside.iterdir(), key=lambda path: path.name in configs):
        target = directory / file.name
        if file.is_dir() and target.is_dir():
            shutil.rmtree(target)
        os.replace(file, target)


def _weights(directory: Path) -> list[Path]:
    patterns = ("model*.safetensors*", "pytorch_model*.bin*", "open_clip_*model.*")
    return [file for pattern in patterns for file in directory.glob(pattern)]


def _open_up(directory: Path) -> None:
    """Give files the permissions that new files get: safetensors makes its own private."""
    probe = directory / ".permissions"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for file in directory.iterdir():
        if file.is_file():
            file.chmod(mode)
