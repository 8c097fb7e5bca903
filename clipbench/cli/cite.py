"""`clipbench cite`: BibTeX of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command, joined
from clipbench.cli.completion import complete_tasks
from clipbench.cli.console import complain, note, say, say_file
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.task_types.base import Task


@click.command("cite", cls=Command)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--tasks", "-t", metavar="NAMES", multiple=True, callback=joined, shell_complete=complete_tasks,
              help="Tasks, groups, tags and globs, separated by commas. Repeatable.")  # fmt: skip
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where additional tasks are.")
@click.option("--output_path", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A .bib file.")
def command(results: tuple[Path, ...], tasks: str, include_path: tuple[Path, ...], output_path: Path | None) -> int:
    """Write what the tasks of RESULTS, or the named ones, are cited by, as BibTeX.

    RESULTS are files of `clipbench eval --output_path`, folders with such files, or boards.

    \b
    clipbench cite results/ --output_path references.bib
    clipbench cite --tasks coco,inpaintcoco
    """
    from clipbench.task_types.bibliography import bibliography
    from clipbench.task_types.registry import select_tasks
    from clipbench.utils.files import atomic_write

    if not results and not tasks:
        raise ConfigError("name results or --tasks")
    chosen, unknown = _of_results(results, include_path) if results else ([], False)
    if tasks:
        chosen += [task for task in select_tasks(tasks, include_path) if task.name not in {one.name for one in chosen}]
    text = bibliography(chosen)
    if silent := [task.name for task in chosen if not task.dataset.references]:
        note(f"no reference for {', '.join(silent)}: the data set names none")
    if output_path:
        atomic_write(output_path, text)
        say(output_path)
    else:
        say_file(text)
    return 1 if unknown else 0


def _of_results(places: tuple[Path, ...], include_path: tuple[Path, ...]) -> tuple[list[Task], bool]:
    """The known tasks of results, and whether something could not be read or is not known."""
    from clipbench.analysis.leaderboard.reading import gather
    from clipbench.task_types.registry import known_tasks

    gathered = gather(places)
    known = {task.name: task for task in known_tasks(include_path)}
    names = list(dict.fromkeys(name for name, _ in gathered.tasks))
    unknown = [name for name in names if name not in known]
    for refused in gathered.refused:
        complain(f"{refused.file}: {f'{refused.task}: ' if refused.task else ''}{refused.reason}")
    for name in unknown:
        complain(f"{name}: unknown task: name its file with include_path")
    return [known[name] for name in names if name in known], bool(unknown or gathered.refused)
