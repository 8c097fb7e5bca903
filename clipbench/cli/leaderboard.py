"""`clipbench leaderboard`: many results as one board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.console import complain, note, print_rows
from clipbench.cli.options import parse_pairs
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.analysis.leaderboard.board import Board

_SUFFIXES = {"csv": ".csv", "markdown": ".md", "latex": ".tex", "html": ".html"}


@click.command("leaderboard")
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The board, a .json file; what is there already is merged in. Other formats are written beside it.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", *_SUFFIXES]),
    default="table",
    show_default=True,
)
@click.option("--reference", is_flag=True, help="Add the published figures of the board's tasks, marked as such.")
@click.option(
    "--gallery",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="In HTML: samples that two models disagree on, for each task and pair of models; 0 for none.",
)
@click.option("--data", multiple=True, metavar="NAME=PLACE", help="Where the gallery's images are, if they have moved.")
@click.option("--include_path", multiple=True, type=click.Path(path_type=Path), help="Where further tasks are.")
def command(
    results: tuple[Path, ...],
    output_path: Path | None,
    style: str,
    reference: bool,
    gallery: int,
    data: tuple[str, ...],
    include_path: tuple[Path, ...],
) -> int:
    """Put results together to one board of models × tasks.

    RESULTS are files of `clipbench eval --output_path`, folders with such files, or other boards.

    \b
    clipbench leaderboard results/ --output_path leaderboard.json
    clipbench leaderboard results/ --output_path leaderboard.json --format html
    clipbench leaderboard --reference --format markdown
    """
    from clipbench.analysis.leaderboard.board import write_board
    from clipbench.analysis.leaderboard.merge import build_leaderboard

    if output_path and output_path.suffix != ".json":
        raise ConfigError(f"--output_path {output_path}: name a .json file; --format writes others beside it")
    if not results and not reference and not (output_path and output_path.exists()):
        raise ConfigError("name results, or --reference for the published figures")
    board = build_leaderboard(results, board=output_path, reference=reference, include_path=include_path)
    text = _page(board, gallery, parse_pairs(data, "--data"), include_path) if style == "html" else _text(board, style)
    if output_path:
        write_board(output_path, board)
        _write_beside(output_path, style, text)
    elif style != "table":
        click.echo(text, nl=False)
    if style == "table":
        _print_table(board)
    for line in board.notes:
        note(line)
    for refused in board.refused:
        complain(f"{refused.file}: {f'{refused.task}: ' if refused.task else ''}{refused.reason}")
    return 1 if board.refused else 0


def _text(board: Board, style: str) -> str:
    from clipbench.analysis.leaderboard.tables import to_csv, to_latex, to_markdown

    if style == "json":
        return board.to_json()
    makers = {"csv": to_csv, "markdown": to_markdown, "latex": to_latex}
    return makers[style](board) if style in makers else ""


def _page(board: Board, gallery: int, data: dict[str, str], include_path: tuple[Path, ...]) -> str:
    from clipbench.analysis.leaderboard.disagreements import find_disagreements
    from clipbench.analysis.leaderboard.page import html_page

    found, problems = find_disagreements(board, gallery, data, include_path)
    for problem in problems:
        note(problem)
    return html_page(board, found)


def _write_beside(output_path: Path, style: str, text: str) -> None:
    from clipbench.utils.files import atomic_write

    if style in _SUFFIXES:
        page = output_path.with_suffix(_SUFFIXES[style])
        atomic_write(page, text)
        click.echo(page)
    if style != "table":
        click.echo(output_path)


def _print_table(board: Board) -> None:
    from clipbench.analysis.leaderboard.tables import legend, wide_table

    headers, rows = wide_table(board)
    print_rows(headers, rows, "table")
    for line in legend(board):
        note(line)
