"""`clipbench show`: logged samples as a contact sheet."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.console import note
from clipbench.cli.options import parse_pairs
from clipbench.errors import ConfigError, ResultError


@click.command("show")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--task", "-t", required=True, help="The task whose samples to show.")
@click.option("--wrong", "which", flag_value="wrong", default="wrong", help="What the model got wrong (default).")
@click.option("--right", "which", flag_value="right", help="What it got right.")
@click.option("--all", "which", flag_value="all", help="Both.")
@click.option("--limit", "-L", type=click.IntRange(min=1), default=24, show_default=True, help="Samples at most.")
@click.option("--data", multiple=True, metavar="NAME=PLACE", help="Where the data is now, if it has moved.")
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where further tasks are.")
@click.option(
    "--output_path", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A .png or .html file.  [TASK.png]"
)
def command(
    results: Path,
    task: str,
    which: str,
    limit: int,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
    output_path: Path | None,
) -> int:
    """Draw logged samples, with their images, texts and scores, as a PNG or an HTML page.

    RESULTS is a results file of `clipbench eval --log_samples`, or a folder with such files: the newest is taken.
    """
    from clipbench.analysis.contact_sheet import contact_sheet, html_page, show_samples
    from clipbench.results.files import result_files
    from clipbench.utils.files import atomic_write

    target = output_path or Path(f"{task}.png")
    if target.suffix not in (".png", ".html"):
        raise ConfigError(f"--output_path {target}: name a .png or a .html file")
    source = result_files(results)[-1]
    chosen = {"wrong": (False,), "right": (True,), "all": (False, True)}[which]
    shown = show_samples(
        source, task, wanted=lambda sample: sample.correct in chosen, most=limit,
        data=parse_pairs(data, "--data"), include_path=include_path,
    )  # fmt: skip
    if not shown:
        note(f"{source}: no such sample of {task}")
        return 0
    title = f"{task}: {len(shown)} samples, {'all kinds' if which == 'all' else which}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".html":
            atomic_write(target, html_page(shown, title))
        else:
            contact_sheet(shown, title).save(target)
    except OSError as error:
        raise ResultError(f"{target}: cannot be written: {error.strerror or error}") from None
    click.echo(target)
    return 0
