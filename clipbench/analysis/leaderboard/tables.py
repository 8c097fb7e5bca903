"""A board as text: CSV with a line per score, and models × tasks in the terminal."""

from __future__ import annotations

import csv
import io

from clipbench.analysis.leaderboard.board import Board, Score

_MARKS = {"limited": "L", "incomplete": "I", "old_version": "V", "other_data": "D", "contradicted": "C"}
_MEANINGS = {
    "limited": "a limited number of samples was scored",
    "incomplete": "data was missing",
    "old_version": "an older version of the task",
    "other_data": "other data, or another number of samples, than the ranked ones",
    "contradicted": "another run of the same weights says otherwise",
}
_CSV_COLUMNS = ("model", "task", "version", "metric", "value", "stderr", "n", "chance", "blind", "centred", "rank",
                "flags", "published", "parameters", "revision", "weights", "precision", "preprocessor", "date",
                "git_hash", "clipbench_version", "file")  # fmt: skip


def ordered_models(board: Board) -> list[str]:
    """Keys of models, the best first: by the mean of their ranks, published ones last."""
    ranks: dict[str, list[int]] = {key: [] for key in board.models}
    for score in board.scores:
        if score.rank is not None:
            ranks[score.model].append(score.rank)
    worst = len(board.models) + 1

    def place(key: str) -> tuple[bool, float, str]:
        return board.models[key].published, sum(ranks[key]) / len(ranks[key]) if ranks[key] else worst, key

    return sorted(board.models, key=place)


def cell(score: Score | None) -> str:
    """A score in a few characters, its flags as letters after ``*``.

    Examples:
        >>> cell(Score(model="m", task="t", version=1, metric="acc", value=0.5, stderr=0.0123, flags=["limited"]))
        '0.500 ± 0.012 *L'
    """
    if score is None:
        return ""
    stderr = "" if score.stderr is None else f" ± {score.stderr:.3f}"
    return f"{score.value:.3f}{stderr}{flag_marks(score)}"


def flag_marks(score: Score) -> str:
    """A score's flags as letters after ``*``; empty if it has none."""
    marks = "".join(_MARKS[flag] for flag in score.flags) + "B" * score.below_blind
    return f" *{marks}" if marks else ""


def wide_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of models × tasks, with the group means at the right."""
    groups = sorted({mean.group for mean in board.means})
    scores = {(score.model, score.task): score for score in board.scores}
    means = {(mean.model, mean.group): mean for mean in board.means}
    rows = []
    for key in ordered_models(board):
        row = [board.models[key].label, *(cell(scores.get((key, task))) for task in board.tasks)]
        for group in groups:
            mean = means.get((key, group))
            stderr = f" ± {mean.stderr:.3f}" if mean and mean.stderr is not None else ""
            row.append(f"{mean.value:.3f}{stderr}" if mean else "")
        rows.append(row)
    return ["Model", *board.tasks, *(f"mean of {group}" for group in groups)], rows


def legend(board: Board) -> list[str]:
    """What the letters after ``*`` mean, those that are used."""
    used = {flag for score in board.scores for flag in score.flags}
    lines = [f"*{_MARKS[flag]}: {_MEANINGS[flag]}" for flag in _MARKS if flag in used]
    below_blind = any(score.below_blind for score in board.scores)
    return lines + ["*B: not above the best rule that sees no image"] * below_blind


def to_csv(board: Board) -> str:
    """One line a score, with the model's facts; cells that a spreadsheet would run as formulas are disarmed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for score in board.scores:
        facts = board.models[score.model]
        values = {**facts.model_dump(), **score.model_dump(), "model": facts.label, "flags": " ".join(score.flags)}
        values["blind"] = score.floor
        writer.writerow([_disarmed(values[column]) for column in _CSV_COLUMNS])
    return text.getvalue()


def _disarmed(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
