"""`clipbench tradeoff`: several runs' trade-offs in one figure."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.command import Command
from clipbench.cli.console import Complaints, say
from clipbench.errors import ConfigError, ResultError


@click.command("tradeoff", cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), required=True, help="Folder for the figure.")
@click.option("--title", default="Concept accuracy against retrieval", show_default=True)
def command(runs: tuple[Path, ...], output_path: Path, title: str) -> int:
    """Draw the tradeoff.json of several runs in one figure.

    Files that cannot be read are reported, the others are drawn, and the exit code is 1.

    \b
    clipbench tradeoff out/clas out/hn1 out/hn2 --output_path out/figure4
    """
    from clipbench.analysis.tradeoff import read_tradeoff
    from clipbench.analysis.tradeoff_figure import draw_tradeoff
    from clipbench.analysis.tradeoff_overlay import overlay
    from clipbench.utils.json_files import is_regular_file

    folders = [(run.parent if is_regular_file(run) else run).resolve() for run in runs]
    if output_path.resolve() in folders:
        raise ConfigError(f"--output_path {output_path}: holds the trade-off of a run; choose another folder")
    names = [folder.name for folder in folders]
    unique = [name if names.count(name) == 1 else str(run) for name, run in zip(names, runs, strict=True)]
    found, complaints = {}, Complaints()
    for name, run in zip(unique, runs, strict=True):
        try:
            found[name] = read_tradeoff(run)
        except ResultError as error:  # the others are drawn
            complaints(str(error))
    if not found:
        return 1
    for path in draw_tradeoff(overlay(found, title).points, output_path, title):
        say(path)
    return 1 if complaints.any else 0
