"""A board as one HTML page that needs nothing else: no network, no library, no second file.

The charts are drawn by hand because no chart library fits: uPlot draws on a canvas, so that there is no SVG to download
and no label to read; Observable Plot brings 300 kB of d3 and places no labels; Vega compiles code, which the page's
policy forbids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.estimate import Estimate
from clipbench.analysis.leaderboard.gallery import Gallery
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.page_data import page_data, short_labels, task_titles
from clipbench.analysis.leaderboard.summary import Summary
from clipbench.analysis.leaderboard.tables import legend

MODULES = ("dom", "choice", "table", "chart", "tradeoff", "gallery", "breakdown", "main")
"""The page's scripts, each after those that it imports."""


def html_page(
    board: Board,
    gallery: Gallery | None = None,
    *,
    title: str = "Leaderboard",
    logs: BoardLogs | None = None,
    include_path: Sequence[str | Path] = (),
    pages: Mapping[str, str] | None = None,
) -> str:
    """Render the page.

    The summary is part of the page itself; the table, charts and gallery are drawn by its scripts from the data that it
    holds. Names and texts are escaped, and the page's policy forbids any request.

    Args:
        board: The board.
        gallery: Samples with their images.
        title: The heading; what follows a line break or `` | `` in it is the subtitle.
        logs: The board's logs, if they are read elsewhere too.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
        pages: Keys of models, and tasks, to addresses of pages of their own, which their names then lead to.
    """
    logs = logs or BoardLogs(board, include_path)
    summary = Summary(board, logs)
    cards = summary.cards()
    heading, subtitle = split_title(title)
    labels = [facts.label for facts in board.models.values()]
    return environment().get_template("leaderboard.html").render(
        board=board,
        title=heading,
        subtitle=subtitle,
        date=human_date(board.date),
        cards=cards,
        leaders=summary.leaders(),
        link={key: (pages or {}).get(key, f"#model={quote(facts.label)}") for key, facts in board.models.items()},
        label={key: facts.label for key, facts in board.models.items()},
        short=dict(zip(board.models, short_labels(labels), strict=True)),
        task_title={name: " · ".join(parts) for name, parts in task_titles(board, include_path).items()},
        legend=legend(board),
        unranked=any(not score.comparable and not score.published for score in board.scores),
        payload=embedded(page_data(board, cards, gallery or Gallery(), logs, include_path, pages or {})),
        css=template_text("leaderboard.css"),
        js=bundle(MODULES),
    )  # fmt: skip


def split_title(title: str) -> tuple[str, str]:
    """The heading and the subtitle of ``HEADING | SUBTITLE``."""
    heading, _, subtitle = title.replace("\n", " | ").partition(" | ")
    return heading.strip(), subtitle.strip()


def environment() -> Environment:
    """Templates of this package, with filters for numbers; every value is escaped."""
    made = Environment(loader=PackageLoader("clipbench.analysis.leaderboard", "templates"), autoescape=True)
    made.filters |= {"percent": percent, "signed": signed, "embedded": embedded}
    return made


def template_text(name: str) -> Markup:
    """A file of the package's templates, as it is."""
    loader = PackageLoader("clipbench.analysis.leaderboard", "templates")
    return Markup(loader.get_source(Environment(autoescape=True), name)[0])  # noqa: S704  # the package's own files


def bundle(modules: Sequence[str]) -> Markup:
    """ES modules as one script: their imports of one another and the word ``export`` are left out."""
    texts = (str(template_text(f"{name}.js")) for name in modules)
    lines = (line.removeprefix("export ") for text in texts for line in text.splitlines())
    return Markup("\n".join(line for line in lines if not re.match(r"import .* from ", line)))  # noqa: S704  # as above


def embedded(data: object) -> Markup:
    """JSON that cannot end its script element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # escaped just above


def percent(estimate: Estimate | float) -> str:
    """A share in percent with one decimal, and half the width of its 95 % interval.

    Examples:
        >>> percent(0.5), percent(Estimate(0.5, 0.01))
        ('50.0', '50.0 ± 2.0')
    """
    if not isinstance(estimate, Estimate):
        return f"{100 * estimate:.1f}".replace("-", "−")
    return percent(estimate.value) + ("" if estimate.reach is None else f" ± {percent(estimate.reach)}")


def signed(estimate: Estimate) -> str:
    """A difference in percentage points, with its sign.

    Examples:
        >>> signed(Estimate(-0.0312, 0.01)), signed(Estimate(0.1))
        ('−3.1 ± 2.0', '+10.0')
    """
    return f"{'−' if estimate.value < 0 else '+'}{percent(Estimate(abs(estimate.value), estimate.stderr))}"


def human_date(date: str) -> str:
    """A date for people.

    Examples:
        >>> human_date("2026-11-07T02:51:14+00:00")
        '7 November 2026'
    """
    try:
        read = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{read.day} {read:%B %Y}"
