"""`clipbench cache`: cached embeddings; listing, checking and removing them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from clipbench.cli.command import Command
from clipbench.cli.console import FORMATS, complain, note, print_rows
from clipbench.cli.display import display
from clipbench.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])


def _folder_option(function: F) -> F:
    option = click.option(
        "--cache_dir", type=click.Path(path_type=Path), callback=_or_default,
        help="The cache folder. Default: $CLIPBENCH_CACHE or ~/.cache/clipbench.",
    )  # fmt: skip
    return option(function)


def _or_default(_: click.Context, __: click.Parameter, value: Path | None) -> Path:
    from clipbench.inference.embedding_cache.cache import default_folder

    return default_folder() if value is None else value.expanduser()


@click.group("cache")
def command() -> None:
    """The embeddings that `clipbench eval --use_cache` keeps.

    \b
    clipbench cache ls                    list cached embeddings per model
    clipbench cache rm MODEL              remove a model's, or --all
    clipbench cache verify                check all checksums, drop damaged parts
    """


@command.command("ls", cls=Command)
@_folder_option
@click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True)
def ls(cache_dir: Path, style: str) -> None:
    """List cached embeddings per model, most recently used first."""
    from clipbench.inference.embedding_cache.maintenance import list_spaces

    rows = [
        [space.model or "?", space.precision, space.device, space.images, space.texts, space.size,
         datetime.fromtimestamp(space.last_used).isoformat(" ", "minutes"), space.key[:12]]
        for space in list_spaces(cache_dir)
    ]  # fmt: skip
    print_rows(["model", "precision", "device", "images", "texts", "bytes", "last used", "key"], rows, style)


@command.command("rm", cls=Command)
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove the embeddings of all models.")
@_folder_option
def rm(model: str | None, everything: bool, cache_dir: Path) -> None:
    """Remove the embeddings of a MODEL, by its name or key as `clipbench cache ls` lists them."""
    from clipbench.inference.embedding_cache.maintenance import remove

    if everything == (model is not None):
        raise ConfigError("name a model, or pass --all")
    for space in remove(cache_dir, model):
        note(
            f"removed {space.model or space.key}: {space.images:,} images, {space.texts:,} texts, {space.size:,} bytes"
        )


@command.command("verify", cls=Command)
@_folder_option
def verify(cache_dir: Path) -> int:
    """Check all checksums and drop damaged parts, which the next run encodes again.

    Exits with status 1 if any part was damaged.
    """
    from clipbench.inference.embedding_cache import maintenance as upkeep

    damaged = list(upkeep.verify(cache_dir, display.advance))
    for one in damaged:
        complain(f"{one.path}: {one.reason}: {'dropped' if one.dropped else 'cannot be removed'}")
    if not damaged:
        note("all embeddings agree with their checksums")
    return 1 if damaged else 0
