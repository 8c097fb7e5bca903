"""`clipbench scenes`: the synthetic scenes, for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.command import Command
from clipbench.cli.console import say
from clipbench.cli.display import display


@click.group("scenes")
def command() -> None:
    """The synthetic data set of drawn scenes."""


@command.command("export", cls=Command)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--size", type=click.IntRange(min=1), default=1000, show_default=True, help="Pictures.")
@click.option("--pairs", type=click.IntRange(min=0), default=300, show_default=True, help="Edited pairs per concept.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def export(directory: Path, split: str, size: int, pairs: int, seed: int) -> None:
    """Write pictures with captions in COCO's layout, and edited pairs as parquet in InpaintCOCO's columns."""
    from clipbench.scenes.export import export_world
    from clipbench.scenes.world import EDIT_CONCEPTS

    total = size + pairs * len(EDIT_CONCEPTS)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        display.advance(f"scenes {split}", done, total)

    export_world(directory, split=split, size=size, pairs=pairs, seed=seed, progress=tick)
    say(directory)
