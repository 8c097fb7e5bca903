"""Comparisons of two runs as a table: for a notebook, a paper, pandas."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from clipbench.analysis.standings import SIGNIFICANT
from clipbench.utils.markup import (
    html_table,
    latex_escaped,
    latex_float,
    latex_tabular,
    markdown_escaped,
    markdown_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from clipbench.analysis.comparison import Comparison


class Comparisons(list["Comparison"]):
    """Two runs on several tasks, one ``Comparison`` a task; a notebook shows them as a table."""

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each task: the fields of ``Comparison``, with ``difference``, ``low``, ``high`` and ``stderr``."""
        import pandas as pd

        rows = [asdict(comparison) | {"verdict": comparison.verdict} for comparison in self]
        for row in rows:
            row |= row.pop("interval")
        return pd.DataFrame(rows)

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """A ``tabular`` of the package booktabs, in percent; with a caption or a label, in a ``table``.

        The better score is bold where the difference is significant.
        """
        rows: list[list[str] | None] = []
        for comparison in self:
            task, a, b, *rest = map(latex_escaped, _cells(comparison))
            a = rf"\textbf{{{a}}}" if comparison.verdict == "A better" else a
            b = rf"\textbf{{{b}}}" if comparison.verdict == "B better" else b
            rows.append([task, a, b, *rest])
        tabular = latex_tabular("lrrrrr", list(map(latex_escaped, self._header)), rows)
        return latex_float(tabular, caption, label, self._notes)

    def to_markdown(self, caption: str = "") -> str:
        """The same as a Markdown table, with the caption above it."""
        rows = []
        for comparison in self:
            task, a, b, *rest = map(markdown_escaped, _cells(comparison))
            a = f"**{a}**" if comparison.verdict == "A better" else a
            b = f"**{b}**" if comparison.verdict == "B better" else b
            rows.append([task, a, b, *rest])
        above = [markdown_escaped(caption), ""] if caption else []
        table = markdown_table(list(map(markdown_escaped, self._header)), rows)
        return "\n".join([*above, *table, "", markdown_escaped("; ".join(self._notes))]) + "\n"

    def _repr_html_(self) -> str:
        rows = [[*_cells(comparison), comparison.verdict] for comparison in self]
        notes = [note for comparison in self for note in comparison.notes]
        sides = " and ".join(f"{side}: {', '.join(names)}" for side, names in zip("AB", self._models, strict=True))
        return html_table(sides, ("task", "A", "B", *_REST, "verdict"), rows, [*self._notes[:1], *notes])

    @property
    def _models(self) -> tuple[list[str], list[str]]:
        return sorted({each.model_a for each in self}), sorted({each.model_b for each in self})

    @property
    def _header(self) -> tuple[str, ...]:
        names = [", ".join(models) for models in self._models]
        same = names[0] == names[1]
        return ("Task", *(f"{name} ({side})" if same else name for side, name in zip("AB", names, strict=True)), *_REST)

    @property
    def _notes(self) -> list[str]:
        return [
            "percent, on the samples that both scored; p of the exact test that flips whole images, Holm's correction",
            f"bold: better, p < {SIGNIFICANT}",
        ]


_REST = ("B − A", "95 %", "p")


def _cells(comparison: Comparison) -> list[str]:
    """Task, A, B, their difference, its interval, and the corrected p-value."""
    interval = comparison.interval
    ends = f"[{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]".replace("-", "−")
    return [
        comparison.task,
        f"{100 * comparison.value_a:.1f}",
        f"{100 * comparison.value_b:.1f}",
        f"{100 * interval.difference:+.1f}".replace("-", "−"),
        "–" if interval.low != interval.low else ends,  # NaN: a single image has no interval
        f"{comparison.p_holm:.3f}" if comparison.p_holm >= 0.001 else "< 0.001",
    ]
