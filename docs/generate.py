"""Write the generated pages: docs/cli.md, docs/tasks.md and the JSON Schemas."""

from __future__ import annotations

import json
from pathlib import Path

import click

from clipbench.analysis.leaderboard.board import Board
from clipbench.cli import cli
from clipbench.results.schema import ResultsFile
from clipbench.task_types.registry import group_members, known_tasks, tag_members

HERE = Path(__file__).parent


def cli_page() -> str:
    """Every subcommand's `--help`."""
    context = cli.make_context("clipbench", ["ls"], max_content_width=100, terminal_width=100)
    parts = ["# Command line", "", "Generated from `--help`.", "", "```", cli.get_help(context), "```"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
            parts += ["", f"## clipbench {name}", "", "```", command.get_help(inner), "```"]
            for below, part in getattr(command, "commands", {}).items():
                deeper = click.Context(part, info_name=below, parent=inner, max_content_width=100, terminal_width=100)
                parts += ["", f"### clipbench {name} {below}", "", "```", part.get_help(deeper), "```"]
    return "\n".join(parts) + "\n"


def tasks_page() -> str:
    """Every task, group and tag, and where the data is."""
    tasks = known_tasks()
    lines = ["# Tasks", "", "Generated from the declarations in `tasks/`.", ""]
    lines += ["| task | type | data | primary metric | chance | n | version |", "|---|---|---|---|---|---|---|"]
    for task in tasks:
        chance = "" if task.chance is None else f"{task.chance:.4f}"
        number = "" if task.expected_n is None else f"{task.expected_n:,}"
        lines.append(
            f"| `{task.name}` | {task.task_type} | {task.dataset.name} | `{task.primary_metric}` | {chance}"
            f" | {number} | {task.version} |"
        )
    for title, members in (("Groups", group_members(tasks)), ("Tags", tag_members(tasks))):
        lines += ["", f"## {title}", ""]
        lines += [f"- `{name}`: {', '.join(f'`{task}`' for task in names)}" for name, names in members.items()]
    lines += ["", "## Data", ""]
    for dataset in {task.dataset.name: task.dataset for task in tasks}.values():
        hub = dataset.hub
        tables = [task.dataset.hub for task in tasks if task.dataset.name == dataset.name and task.dataset.hub]
        splits = dict.fromkeys(f"`{table.split}`" for table in tables if hub and table.repo == hub.repo)
        facts = {
            "home": f"<{dataset.homepage}>" if dataset.homepage else "",
            "hub": f"`{hub.repo}`, split {', '.join(splits)}, at `{hub.revision}`" if hub and hub.repo else "",
            "made by": f"`{dataset.generator}`" if dataset.generator else "",
            "raw layout": ", ".join(f"`{layout}`" for layout in dataset.layouts),
            "license": dataset.license,
            "cite": dataset.citation,
            "local copy": dataset.instructions,
        }
        lines += [f"### {dataset.name}", "", *(f"- {name}: {text}" for name, text in facts.items() if text), ""]
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[str, str]:
    """File name to text, of every generated page."""
    schemas = {"results": ResultsFile.model_json_schema(by_alias=True), "leaderboard": Board.model_json_schema()}
    texts = {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    return {"cli.md": cli_page(), "tasks.md": tasks_page(), **texts}


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
