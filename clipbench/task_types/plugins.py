"""Plug-ins: Python files, and the tasks in them."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from clipbench.errors import ClipbenchError, ConfigError
from clipbench.task_types.base import Task
from clipbench.task_types.declarations import make_task
from clipbench.utils.text import line_in


def load_file(file: Path) -> ModuleType:
    """Import a plug-in file.

    Raises:
        ConfigError: It cannot be imported; names file and line.
    """
    # The name depends on the path, so that two plug-ins with the same stem do not replace each other.
    name = f"clipbench_plugin_{file.stem}_{zlib.crc32(os.fsencode(file.resolve())):08x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"include_path {file}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ClipbenchError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(
            f"{file}:{line_in(file, error)}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from None
    return module


def tasks_in(module: ModuleType) -> Iterator[Task]:
    """The tasks a module defines itself: imported base classes and helpers do not count."""
    for value in vars(module).values():
        if not (isinstance(value, type) and issubclass(value, Task) and value.__module__ == module.__name__):
            continue
        if hasattr(value, "name") and ("name" in vars(value) or not inspect.isabstract(value)):
            yield make_task(value, str(module.__file__))
