"""`clipbench show`: logged samples as a contact sheet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command, joined
from clipbench.cli.completion import complete_data, complete_tasks
from clipbench.cli.console import Complaints, note, say
from clipbench.cli.values import parse_pairs
from clipbench.errors import ConfigError, DataError, ResultError
from clipbench.utils.text import excerpt

if TYPE_CHECKING:
    from clipbench.analysis.contact_sheet.sheet import Which


@click.command("show", cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--tasks", "-t", required=True, metavar="NAMES", multiple=True, callback=joined,
              shell_complete=complete_tasks,
              help="Tasks and globs, separated by commas: one sheet each. Repeatable.")  # fmt: skip
@click.option("--wrong", "which", flag_value="wrong", default="wrong", help="What the model got wrong (default).")
@click.option("--right", "which", flag_value="right", help="What it got right.")
@click.option("--all", "which", flag_value="all", help="Both.")
@click.option(
    "--limit", "-L", type=click.IntRange(min=1), default=24, show_default=True, help="At most N samples per task."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RESULTS",
    help="Only samples on which another model's results differ: --right shows what it gets wrong.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="NAME=PLACE",
    shell_complete=complete_data,
    help="Where the data is now, if it was moved.",
)
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where additional tasks are.")
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .png or .html file, for a single task.  [TASK.png]",
)
def command(
    results: Path,
    tasks: str,
    which: Which,
    limit: int,
    against: Path | None,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
    output_path: Path | None,
) -> int:
    """Draw logged samples, with their images, texts and scores, as a PNG or an HTML page.

    RESULTS is a result file of `clipbench eval --log_samples`, or a folder with those of one model: the most recent run
    of each task is used. The task's primary metric decides what is right. Samples of one image are shown together.
    """
    from clipbench.results.files import choose_tasks, logged_runs

    if output_path and output_path.suffix not in (".png", ".html"):
        raise ConfigError(f"--output_path {output_path}: name a .png or a .html file")
    runs = logged_runs(results)
    names = choose_tasks(runs, tasks)
    others = logged_runs(against) if against else {}
    if output_path and len(names) > 1:
        raise ConfigError(f"--output_path {output_path}: one file for {len(names)} tasks; leave it out to get one each")
    places, complaints = parse_pairs(data, "--data"), Complaints()
    for name in names:
        try:
            if against and name not in others:
                raise ResultError(f"{against}: no samples of {name} there")
            target = output_path or Path(f"{name}.png")
            _draw(runs[name], name, which, limit, others.get(name), places, include_path, target)
        except (ResultError, DataError) as error:  # the other tasks go on
            complaints(str(error))
    return 1 if complaints.any else 0


def _draw(
    source: Path,
    task: str,
    which: Which,
    limit: int,
    against: Path | None,
    data: dict[str, str],
    include_path: tuple[Path, ...],
    target: Path,
) -> None:
    from clipbench.analysis.contact_sheet import draw_sheet, html_page, make_contact_sheet, missing_letters
    from clipbench.utils.files import atomic_write

    sheet = make_contact_sheet(source, task, which, limit, against=against, data=data, include_path=include_path)
    if not sheet.cards:
        note(f"{source}: no such sample of {task}")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".html":
            atomic_write(target, html_page(sheet))
        else:
            if missing := missing_letters(sheet):
                note(f"{target}: no letters for {excerpt(missing, 20)}; an .html file shows them")
            picture = io.BytesIO()
            draw_sheet(sheet).save(picture, "PNG")
            atomic_write(target, picture.getvalue())
    except OSError as error:
        raise ResultError(f"{target}: cannot be written: {error.strerror or error}") from None
    note(f"{task}: {sheet.selection}")
    say(target)
