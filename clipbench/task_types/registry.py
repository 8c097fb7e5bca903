"""Where tasks come from: bundled ones, entry points, plug-in files, and YAML files without code."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from clipbench.errors import ConfigError, UnknownName
from clipbench.task_types import Task
from clipbench.task_types.base import TASK_TYPES, SampleTask
from clipbench.task_types.declarations import make_task
from clipbench.task_types.plugins import load_file, tasks_in
from clipbench.utils.registry import Registry, close_matches

_YAML = (".yaml", ".yml")


def known_tasks(include_path: Iterable[str | Path] = ()) -> list[Task]:
    """All tasks that have a name: built in, from entry points, and from ``include_path``, sorted.

    Args:
        include_path: Python or YAML files, or folders of them.

    Raises:
        ConfigError: A plugin or YAML file is broken (names file and line), or two tasks share a name.
    """
    return list(_registry(tuple(str(path) for path in include_path)).values())


def select_tasks(
    selection: str | Sequence[str | Task | type[Task]], include_path: Iterable[str | Path] = ()
) -> list[Task]:
    """Turn what a user asks for into tasks, each once, in the order asked for.

    Args:
        selection: Names, groups, tags, globs, YAML files or folders of them (a string joins several with
            commas), or tasks themselves.
        include_path: As in ``known_tasks``.

    Raises:
        UnknownName: There is no such name; close matches are suggested.
        ConfigError: As in ``known_tasks``, or nothing was asked for.
    """
    words = [word.strip() for word in selection.split(",")] if isinstance(selection, str) else selection
    chosen: dict[str, Task] = {}
    registry = _registry(tuple(str(path) for path in include_path))
    for word in words:
        if isinstance(word, str):
            found = _named(word, registry) if word else []
        else:
            found = [word() if isinstance(word, type) else word]
        for task in found:
            _refuse_taken_name(task, registry, word)
            first = chosen.setdefault(task.name, task)
            if first is not task and type(first) is not word:  # a class that is named twice is one task
                raise ConfigError(f"two different tasks are called {task.name!r}: rename one of them")
    if not chosen:
        raise ConfigError("no task was named: `clipbench ls tasks` lists them all")
    return list(chosen.values())


def find_task(name: str, include_path: Iterable[str | Path] = ()) -> Task:
    """The task with exactly this name; groups, patterns and files are not considered.

    Raises:
        UnknownName: There is none.
        ConfigError: As in ``known_tasks``.
    """
    return _registry(tuple(str(path) for path in include_path)).get(name)


def find_task_type(name: str, include_path: Iterable[str | Path] = ()) -> type[Task]:
    """The task type of this name, bundled or from a plug-in.

    Args:
        name: As ``task_type`` of a task or of its results.
        include_path: As in ``known_tasks``.

    Returns:
        The class; a plain ``SampleTask`` if the plug-in that defines the type is not available.
    """
    known_tasks(include_path)  # imports plug-ins, whose types register themselves
    return TASK_TYPES.get(name, SampleTask)


def group_members(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Group to the names of its tasks, both sorted."""
    members: dict[str, list[str]] = {}
    for task in tasks:
        for group in task.groups:
            members.setdefault(group, []).append(task.name)
    return {group: sorted(members[group]) for group in sorted(members)}


def tag_members(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Tag to the names of its tasks, both sorted."""
    members: dict[str, list[str]] = {}
    for task in tasks:
        for tag in task.all_tags:
            members.setdefault(tag, []).append(task.name)
    return {tag: sorted(members[tag]) for tag in sorted(members)}


def _yaml_task(path: Path) -> Task:
    """The task of a YAML file, the same one as long as the file does not change."""
    return _yaml_task_as_of(path, path.stat().st_mtime_ns)


@cache
def _yaml_task_as_of(path: Path, modified: int) -> Task:
    from clipbench.task_types.task_file import task_from_yaml  # brings pydantic, which a mere listing does without

    return task_from_yaml(path)


def _holds_concept(path: Path) -> bool:
    from clipbench.task_types.task_file import is_concept_file

    return is_concept_file(path)


def _named(word: str, registry: Registry[Task]) -> list[Task]:
    path = Path(word).expanduser()
    if word.endswith(_YAML):
        if not path.is_file():
            raise ConfigError(f"{word}: no such task file")
        return [_yaml_task(path.resolve())]
    if word in registry:
        return [registry.get(word)]
    tasks = list(registry.values())
    found = [task for task in tasks if word in task.groups or word in task.all_tags]
    if not found and any(sign in word for sign in "*?["):
        found = [task for task in tasks if fnmatch.fnmatchcase(task.name, word)]
    if not found and path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.suffix in _YAML and not _holds_concept(file)]
        found = [_yaml_task(file.resolve()) for file in files]
    if not found:
        names = {*registry.names(), *group_members(tasks), *tag_members(tasks)}
        raise UnknownName(
            f"unknown task or group {word!r}{close_matches(word, names)}; `clipbench ls tasks` and"
            " `clipbench ls groups` list all"
        )
    return found


@cache
def _registry(include_path: tuple[str, ...]) -> Registry[Task]:
    registry: Registry[Task] = Registry("task", "clipbench ls tasks")
    for task in (*_builtin(), *_from_entry_points()):
        registry.register(task.name, task)
    for path in include_path:
        for task in _included(Path(path).expanduser()):
            if task.name in registry and registry.get(task.name) is not task:
                raise ConfigError(f"include_path {path}: two tasks are named {task.name!r}: rename one of them")
            registry.register(task.name, task)
    _refuse_clashes(registry)
    return registry


def _refuse_taken_name(task: Task, registry: Registry[Task], where: object) -> None:
    """Results of a task named like a registered one, or like a group, would be mistaken for that one's."""
    known = registry.get(task.name) if task.name in registry else None
    taken = type(task) is not type(known) if known else task.name in group_members(registry.values())
    if taken:
        raise ConfigError(
            f"{where}: a known {'task' if known else 'group'} is named {task.name!r} already: rename this task"
        )


def _refuse_clashes(registry: Registry[Task]) -> None:
    """A group or tag with the name of a task, or of one another, would make ``--tasks`` ambiguous."""
    tasks = list(registry.values())
    groups, tags = set(group_members(tasks)), set(tag_members(tasks))
    for clash in sorted((groups & tags) | ((groups | tags) & set(registry.names()))):
        raise ConfigError(f"{clash!r} names two of: a task, a group, a tag; rename one of them")


def _builtin() -> Iterator[Task]:
    package = _task_package()
    for module in pkgutil.iter_modules(package.__path__):
        yield from tasks_in(importlib.import_module(f"{package.__name__}.{module.name}"))


def _task_package() -> ModuleType:
    """The top-level folder tasks/, which is installed as ``clipbench.tasks``."""
    name = "clipbench.tasks"
    if importlib.util.find_spec(name) is None:
        # Python was started in a checkout: its clipbench/ hides the installed one, and tasks/ is next to it.
        folder = Path(__file__).parents[2] / "tasks"
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None:
            raise ConfigError(f"clipbench is installed without its tasks, and {folder} is missing: reinstall it")
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return importlib.import_module(name)


def _from_entry_points() -> Iterator[Task]:
    for point in entry_points(group="clipbench.tasks"):
        try:
            loaded = point.load()
        except Exception as error:
            raise ConfigError(f"entry point clipbench.tasks:{point.name} ({point.value}): {error!r}") from None
        if isinstance(loaded, ModuleType):
            yield from tasks_in(loaded)
        elif isinstance(loaded, type) and issubclass(loaded, Task):
            yield make_task(loaded, f"entry point clipbench.tasks:{point.name}")
        else:
            raise ConfigError(f"entry point clipbench.tasks:{point.name} ({point.value}): neither a module nor a Task")


def _included(path: Path) -> Iterator[Task]:
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix in (".py", *_YAML) and file.is_file()]
        files = sorted(found, key=lambda file: (file.suffix != ".py", file))  # code first: it may bring a task type
    elif path.is_file():
        files = [path]
    else:
        raise ConfigError(f"include_path {path}: no such file or folder")
    for file in files:
        if file.suffix in _YAML:
            if file == path or not _holds_concept(file):
                yield _yaml_task(file.resolve())
        elif file.suffix == ".py":
            yield from tasks_in(load_file(file))
        else:
            raise ConfigError(f"include_path {file}: neither a .py nor a .yaml file")
