"""`clipbench ls`: listings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clipbench.cli.command import Command
from clipbench.cli.console import FORMATS, print_rows


class _Kind(click.Choice[str]):
    """A kind of things; one of them, and the subtasks of lm-evaluation-harness, do as well."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read ``task`` as ``tasks``."""
        plural = {"study": "studies", "subtask": "tasks", "subtasks": "tasks"}.get(value, f"{value}s")
        return super().convert(plural if plural in self.choices else value, param, ctx)


@click.command("ls", cls=Command)
@click.argument("kind", type=_Kind(["tasks", "groups", "tags", "models", "concepts", "studies"]))
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where additional tasks are.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True)
def command(kind: str, include_path: tuple[Path, ...], style: str) -> None:
    """List tasks, groups, tags, models, concepts or studies."""
    print_rows(*_LISTINGS[kind](include_path), style)


_Listing = tuple[list[str], list[list[object]]]


def _tasks(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.task_types.registry import known_tasks

    rows: list[list[object]] = [
        [task.name, task.version, task.task_type, task.dataset.name, task.primary_metric,
         "" if task.chance is None else f"{task.chance:.4f}", task.expected_n or "", ",".join(task.groups)]
        for task in known_tasks(include_path)
    ]  # fmt: skip
    return ["task", "version", "type", "data", "metric", "chance", "n", "groups"], rows


def _groups(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.task_types.registry import group_members, known_tasks

    members = group_members(known_tasks(include_path))
    return ["group", "n", "tasks"], [[name, len(tasks), ",".join(tasks)] for name, tasks in members.items()]


def _tags(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.task_types.registry import known_tasks, tag_members

    members = tag_members(known_tasks(include_path))
    return ["tag", "n", "tasks"], [[name, len(tasks), ",".join(tasks)] for name, tasks in members.items()]


def _models(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.models import adapters

    return ["library", "example", "description"], [[one.name, one.example, one.description] for one in adapters()]


def _concepts(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.concepts import concept_names, load_concept

    concepts = [load_concept(name) for name in concept_names()]
    return ["concept", "keywords"], [[one.name, ", ".join(one.replacements)] for one in concepts]


def _studies(include_path: tuple[Path, ...]) -> _Listing:
    from clipbench.reproduce.study import load_study, shipped_studies

    studies = [load_study(name) for name in shipped_studies()]
    return ["study", "models", "title"], [[one.name, ", ".join(one.base_models), one.title] for one in studies]


_LISTINGS = {
    "tasks": _tasks,
    "groups": _groups,
    "tags": _tags,
    "models": _models,
    "concepts": _concepts,
    "studies": _studies,
}
