"""`clipbench tradeoff`: several runs' trade-offs in one figure."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.command import Command
from clipbench.cli.console import say
from clipbench.errors import ConfigError


@click.command("tradeoff", cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--output_path", "-o", type=click.Path(path_type=Path), required=True, help="Folder for the figure.")
@click.option("--title", default="Concept accuracy against retrieval", show_default=True)
def command(runs: tuple[Path, ...], output_path: Path, title: str) -> None:
    """Draw the tradeoff.json of several runs in one figure.

    \b
    clipbench tradeoff out/clas out/hn1 out/hn2 --output_path out/figure4
    """
    from clipbench.analysis.tradeoff import read_tradeoff
    from clipbench.analysis.tradeoff_figure import draw_tradeoff
    from clipbench.analysis.tradeoff_overlay import overlay

    folders = [(run.parent if run.is_file() else run).resolve() for run in runs]
    if output_path.resolve() in folders:
        raise ConfigError(f"--output_path {output_path}: holds the trade-off of a run; choose another folder")
    names = [folder.name for folder in folders]
    unique = [name if names.count(name) == 1 else str(run) for name, run in zip(names, runs, strict=True)]
    found = {name: read_tradeoff(run) for name, run in zip(unique, runs, strict=True)}
    for path in draw_tradeoff(overlay(found, title).points, output_path, title):
        say(path)
