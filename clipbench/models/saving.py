"""Writing a checkpoint so that a directory never holds half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipbench.errors import ModelError
from clipbench.models.spec import OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG
from clipbench.utils.files import atomic_directory

_CONFIGS = (TRANSFORMERS_CONFIG, OPEN_CLIP_CONFIG)


@contextmanager
def checkpoint_directory(directory: Path) -> Iterator[Path]:
    """Give an empty directory to write to, and move its files to ``directory`` when the block ends well.

    A new directory appears whole. In an existing one, files are replaced one by one, the configuration last; other
    files in it are left alone.

    Raises:
        ModelError: The directory holds something other than a checkpoint.
        ResultError: It cannot be written.
    """
    directory = Path(directory).absolute()
    if directory.is_file():
        raise ModelError(f"cannot write a checkpoint to {directory}: it is a file")
    if directory.is_dir() and any(directory.iterdir()) and not any((directory / name).is_file() for name in _CONFIGS):
        raise ModelError(f"{directory} holds other files and no checkpoint: pass a new or empty directory")
    with atomic_directory(directory, put_in_place) as part:
        yield part


def put_in_place(new: Path, directory: Path) -> None:
    """Move a checkpoint's files into a directory, the configuration last; an older checkpoint's weights go.

    Raises:
        OSError: A file cannot be moved.
    """
    _open_up(new)
    if not directory.exists():
        os.replace(new, directory)
        return
    # Weights and configuration of an older checkpoint would be found first, or mixed in.
    stale = {*_CONFIGS, *(file.name for file in _weights(directory))}
    for name in stale - {file.name for file in new.iterdir()}:
        (directory / name).unlink(missing_ok=True)
    for file in sorted(new.iterdir(), key=lambda path: path.name in _CONFIGS):
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
