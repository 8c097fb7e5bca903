"""What a benchmark measured, as a file: every script takes ``--json FILE`` and writes its figures there.

    sys.path.append(str(Path(__file__).parents[1]))
    from benchmarks.figures import JSON_FLAG, Figure, write_figures

    parser.add_argument("--json", **JSON_FLAG)
    write_figures(options.json, [Figure("ranking, CLIP_benchmark ÷ clipbench", 9.63, "×", "higher", target=10)])

``python -m benchmarks all`` collects them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

JSON_FLAG: dict[str, Any] = {"type": Path, "metavar": "FILE", "help": "write the figures there"}


@dataclass(frozen=True)
class Figure:
    """One number: a median, where there were several rounds.

    Attributes:
        name: What was measured, unique within the benchmark and the same in every run.
        unit: ``s``, ``MB``, ``samples/s``, …; ``×`` for a ratio of two measurements of one run, ``%`` for a share:
            only these two are compared between machines.
        better: Which way is better.
        target: What it is to reach, in the same unit.
    """

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"] = "lower"
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def write_figures(path: Path | None, figures: Sequence[Figure]) -> None:
    """Write ``{"figures": [{"name", "value", "unit", "better", "target"}, …]}``; without a path, nothing.

    Raises:
        ValueError: Two figures have one name, or a value is not finite.
    """
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures of one name: {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
    if broken := [figure.name for figure in figures if not math.isfinite(figure.value)]:
        raise ValueError(f"not a finite number: {', '.join(broken)}")
    if path is not None:
        text = json.dumps({"figures": [asdict(figure) for figure in figures]}, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def read_figures(path: Path) -> list[Figure]:
    """Read what `write_figures` wrote."""
    return [Figure(**figure) for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]]
