"""`clipbench leaderboard`: many results as one board."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_data
from clipbench.cli.console import complain, note, print_rows, say, say_file
from clipbench.cli.display import display
from clipbench.cli.table_options import check_table_options, paper_table_options
from clipbench.cli.values import parse_pairs
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.analysis.leaderboard.board import Board
    from clipbench.analysis.leaderboard.logs import BoardLogs
    from clipbench.analysis.site.build import Site

_SUFFIXES = {"csv": ".csv", "markdown": ".md", "latex": ".tex", "html": ".html"}


@click.command("leaderboard", cls=Command)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .json, .csv, .md, .tex or .html file; an existing .json board is merged in.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", *_SUFFIXES]),
    help="On stdout; with --output_path the suffix decides, or .json for both.  [table]",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a static site into this folder: the page, a page for each model and task, pictures of mistakes.",
)
@click.option("--reference", is_flag=True, help="Add the published figures of the board's tasks, marked as such.")
@click.option(
    "--rank_mixed",
    is_flag=True,
    help="Also rank scores of other data, sample counts or task versions; they keep their flag.",
)
@click.option(
    "--gallery",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="In HTML: samples with pictures, per task and pair of models that disagree on them; with --site also mistakes,"
    " per task and model. 0 for none.",
)
@click.option("--title", default="Leaderboard", show_default=True, help="In HTML: the heading, or HEADING | SUBTITLE.")
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="[MODEL=]BASE",
    help="What a model was fine-tuned from, where its results do not say; without MODEL, what all others were.",
)
@paper_table_options
@click.option(
    "--data",
    multiple=True,
    metavar="NAME=PLACE",
    shell_complete=complete_data,
    help="Where the gallery's images are, if they have moved.",
)
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where additional tasks are.")
def command(
    results: tuple[Path, ...],
    output_path: Path | None,
    style: str | None,
    site: Path | None,
    reference: bool,
    rank_mixed: bool,
    gallery: int,
    title: str,
    bases: tuple[str, ...],
    table: dict[str, Any],
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
) -> int:
    """Merge results into a leaderboard of models × tasks.

    RESULTS are files of `clipbench eval --output_path`, folders with such files, or other boards.

    \b
    clipbench leaderboard results/ --output_path leaderboard.json
    clipbench leaderboard results/ --output_path leaderboard.html
    clipbench leaderboard results/ --site site
    clipbench leaderboard --reference --format markdown
    clipbench leaderboard results/ --output_path table.tex --uncertainty interval --caption "Scores" --label tab:scores
    """
    from clipbench.analysis.leaderboard.board import board_lock
    from clipbench.analysis.leaderboard.lineage import set_bases
    from clipbench.analysis.leaderboard.logs import BoardLogs
    from clipbench.analysis.leaderboard.merge import board_of
    from clipbench.analysis.leaderboard.reading import gather
    from clipbench.analysis.site.build import Site
    from clipbench.analysis.site.folder import check_folder

    target, style = _target(output_path, style or ("" if site and not output_path else None))
    check_table_options(table, style)
    if site:
        check_folder(site)
    existing = target if target and target.suffix == ".json" else None
    if not results and not reference and not (existing and existing.exists()):
        raise ConfigError("name results, or --reference for the published figures")
    places, named_bases = parse_pairs(data, "--data"), _parse_bases(bases)
    display.advance("reading results", 0, None)
    gathered = gather(results)  # takes the longest, so before the lock
    if existing is None or not existing.exists():
        gathered.require_scores()
    with board_lock(existing, _say_busy) if existing else nullcontext():
        board = board_of(
            gathered, board=existing, reference=reference, rank_mixed=rank_mixed, include_path=include_path
        )
        set_bases(board, named_bases)
        display.advance("making the board", 0, None)
        logs = BoardLogs(board, include_path)
        logs.add_confusions(keep=style == "html")
        text = (
            _page(board, title, gallery, places, include_path, logs) if style == "html" else _text(board, style, table)
        )
        _write(board, text, existing, target if style in _SUFFIXES else None, style)
    if site:
        _write_site(Site(board, title, gallery, places, include_path), site)
    if not target and style not in ("", "table"):
        say_file(text)
    if style == "table":
        _print_table(board)
    for line in board.notes:
        note(line)
    for refused in board.refused:
        complain(f"{refused.file}: {f'{refused.task}: ' if refused.task else ''}{refused.reason}")
    return 1 if board.refused else 0


def _say_busy() -> None:
    note("waiting: another process is writing this board")


def _write(board: Board, text: str, existing: Path | None, target: Path | None, style: str) -> None:
    """Write the board, and the page or table next to it."""
    from clipbench.analysis.leaderboard.board import write_board
    from clipbench.utils.files import atomic_write

    if existing:
        write_board(existing, board)
    if target:
        page = target.with_suffix(_SUFFIXES[style])
        atomic_write(page, text)
        say(page)
    if existing and style != "table":
        say(existing)


def _text(board: Board, style: str, table: dict[str, Any]) -> str:
    from clipbench.analysis.leaderboard.paper_table import TableOptions, to_latex, to_markdown
    from clipbench.analysis.leaderboard.tables import to_csv

    if style == "json":
        return board.to_json()
    if style == "csv":
        return to_csv(board)
    makers = {"markdown": to_markdown, "latex": to_latex}
    return makers[style](board, TableOptions(**table)) if style in makers else ""


def _parse_bases(bases: tuple[str, ...]) -> dict[str, str]:
    return {model or "*": base for model, _, base in (each.rpartition("=") for each in bases)}


def _page(
    board: Board, title: str, gallery: int, data: dict[str, str], include_path: tuple[Path, ...], logs: BoardLogs
) -> str:
    from clipbench.analysis.leaderboard.gallery import find_samples
    from clipbench.analysis.leaderboard.page import html_page

    found, problems = find_samples(board, gallery, data, include_path, logs)
    for problem in problems:
        note(problem)
    return html_page(board, found, title=title, logs=logs, include_path=include_path)


def _write_site(site: Site, folder: Path) -> None:
    from clipbench.analysis.site.folder import write_site

    write_site(folder, _counted(site))
    for problem in site.problems:
        note(problem)
    say(folder / "index.html")


def _counted(site: Site) -> Iterator[tuple[str, str | bytes]]:
    pages, total = 0, len(site.board.tasks) + len(site.board.models) + 1
    for name, content in site.files():
        pages += name.endswith(".html")
        display.advance("pages", pages, total)
        yield name, content


def _target(output_path: Path | None, style: str | None) -> tuple[Path | None, str]:
    """Where the board goes, and its format: the suffix decides, and a contradicting ``--format`` is refused.

    A .json board may be accompanied by another format, of the same name.
    """
    if output_path is None or output_path.suffix == ".json":
        return output_path, "table" if style is None else style
    formats = {suffix: name for name, suffix in _SUFFIXES.items()}
    named = formats.get(output_path.suffix)
    if named is None:
        raise ConfigError(f"--output_path {output_path}: the suffix is none of .json, {', '.join(formats)}")
    if style not in (None, named):
        raise ConfigError(f"--output_path {output_path} is {named}, but --format is {style}: give one of them")
    return output_path, named


def _print_table(board: Board) -> None:
    from clipbench.analysis.leaderboard.tables import legend, wide_table

    headers, rows = wide_table(board)
    print_rows(headers, rows, "table")
    for line in legend(board):
        note(line)
