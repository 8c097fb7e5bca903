"""All files of a site, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.page import html_page, split_title
from clipbench.analysis.site.cards import Sheet, hardest_cards, mistake_sheet
from clipbench.analysis.site.folder import BOARD, CARD, INDEX, STYLE
from clipbench.analysis.site.pages import Pages, model_path, stylesheet, task_path
from clipbench.analysis.site.public import named_board, public_board
from clipbench.analysis.site.samples import choose_samples, image_path
from clipbench.analysis.site.space import space_card


@dataclass
class Site:
    """A board as files.

    Attributes:
        board: The board; its scores name their result files, beside which samples are logged.
        title: The heading, or ``HEADING | SUBTITLE``.
        samples: Mistakes shown for each model and task, and disagreements for each pair of models and task.
        data: Data set name to place, if it has moved since the runs.
        include_path: As in ``clipbench.task_types.registry.known_tasks``.
        problems: What could not be read, a line each; complete after the last file.
    """

    board: Board
    title: str = "Leaderboard"
    samples: int = 6
    data: Mapping[str, str] = field(default_factory=dict)
    include_path: Sequence[str | Path] = ()
    problems: list[str] = field(default_factory=list)

    def files(self) -> Iterator[tuple[str, str | bytes]]:
        """Make the files.

        Yields:
            Path in the site, with ``/``, and content. Images that tasks share come several times.
        """
        board = named_board(self.board)
        logs = BoardLogs(board, self.include_path)
        heading, _ = split_title(self.title)
        pages = Pages(board, heading, logs, self.include_path)
        sheets: dict[str, dict[str, Sheet]] = {model: {} for model in board.models}
        for task in board.tasks:
            chosen = choose_samples(board, task, self.samples, logs, self.data, self.include_path)
            self.problems += chosen.problems
            yield from ((image_path(content), content) for content in chosen.images.values())
            for model in chosen.wrong:
                sheets[model][task] = mistake_sheet(chosen, model)
            yield task_path(task), pages.task_page(task, hardest_cards(chosen, board))
        for model in board.models:
            yield model_path(model), pages.model_page(model, sheets[model])
        yield INDEX, self._index(board, logs)
        yield STYLE, stylesheet()
        yield BOARD, public_board(board).to_json()
        yield CARD, space_card(heading)
        yield ".nojekyll", ""  # GitHub Pages takes the files as they are

    def _index(self, board: Board, logs: BoardLogs) -> str:
        gallery, problems = find_samples(board, self.samples, self.data, self.include_path, logs)
        self.problems += problems
        paths = {key: model_path(key) for key in board.models} | {task: task_path(task) for task in board.tasks}
        addresses = {name: quote(path) for name, path in paths.items()}
        return html_page(
            board, gallery, title=self.title, logs=logs, include_path=self.include_path, pages=addresses
        )  # fmt: skip
