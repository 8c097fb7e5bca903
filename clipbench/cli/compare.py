"""`clipbench compare`: is one run better than another?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import FORMATS, Complaints, note, print_rows, say, say_file, say_json
from clipbench.cli.table_options import check_table_options
from clipbench.errors import ConfigError

if TYPE_CHECKING:
    from clipbench.analysis.comparison import Comparison

_HEADERS = ("task", "A", "B", "B − A", "p (Holm)", "verdict")
_WIDE = ("task", "metric", "n", "images", "A", "B", "B − A", "95 % interval", "p", "p (Holm)", "p (McNemar)",
         "only A", "only B", "verdict")  # fmt: skip


@click.command("compare", cls=Command)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--tasks", "-t", metavar="NAMES", help="Tasks and globs, separated by commas. Default: all shared ones.")
@click.option(
    "--flips",
    type=click.IntRange(min=0),
    default=0,
    help="Also list up to N samples whose outcome changed, in each direction.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Number of bootstrap resamples.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Bootstrap seed.")
@click.option("--wide", is_flag=True, help="Also intervals, sample counts and the other tests.")
@click.option("--caption", default="", metavar="TEXT", help="In LaTeX and Markdown: the table's caption.")
@click.option("--label", default="", metavar="NAME", help="In LaTeX: what \\ref finds the table by.")
@click.option("--format", "style", type=click.Choice([*FORMATS, "latex"]), default="table", show_default=True)
def command(
    a: Path,
    b: Path,
    tasks: str | None,
    flips: int,
    resamples: int,
    seed: int,
    wide: bool,
    caption: str,
    label: str,
    style: str,
) -> int:
    """Compare two runs on the same logged samples.

    A and B are results files of `clipbench eval --log_samples`, or folders with those of one model. `p` is the exact
    paired test that flips whole images, `p (Holm)` the same corrected over the tasks; the verdict names a run as better
    where that is below 0.05. `p (McNemar)` is the exact test that takes captions of one image as independent. The
    interval is a bootstrap over images.

    \b
    clipbench compare results/base results/finetuned --tasks "scenes_*"
    """
    from clipbench.analysis.comparison import compare_runs

    check_table_options({name: text for name, text in (("caption", caption), ("label", label)) if text}, style)
    if wide and style in ("latex", "markdown"):
        raise ConfigError(f"--wide is for the terminal, not for {style}")
    complaints = Complaints()
    found = compare_runs(a, b, tasks, resamples=resamples, seed=seed, on_error=complaints)
    if style == "json":
        say_json([asdict(comparison) for comparison in found])
    elif style == "latex":
        say_file(found.to_latex(caption, label))
    elif style == "markdown":
        say_file(found.to_markdown(caption))
    else:
        for side, place in (("A", a), ("B", b)):
            models = sorted({comparison.model_a if side == "A" else comparison.model_b for comparison in found})
            note(f"{side} is {', '.join(models)} ({place})")
        row = _wide_row if wide else _row
        print_rows(_WIDE if wide else _HEADERS, [row(comparison) for comparison in found], style)
        for comparison in found:
            _print_flips(comparison, flips)
    for line in (line for comparison in found for line in comparison.notes):
        note(line)
    return 1 if complaints.any else 0


def _row(comparison: Comparison) -> list[str]:
    return [
        comparison.task,
        f"{comparison.value_a:.4f}",
        f"{comparison.value_b:.4f}",
        f"{comparison.interval.difference:+.4f}",
        _p(comparison.p_holm),
        comparison.verdict,
    ]


def _wide_row(comparison: Comparison) -> list[str]:
    interval = comparison.interval
    return [
        comparison.task,
        comparison.metric,
        f"{comparison.n}",
        f"{comparison.clusters}",
        f"{comparison.value_a:.4f}",
        f"{comparison.value_b:.4f}",
        f"{interval.difference:+.4f}",
        f"{interval.low:+.4f} … {interval.high:+.4f}",
        *(_p(value) for value in (comparison.p_value, comparison.p_holm, comparison.p_mcnemar)),
        f"{len(comparison.only_a)}",
        f"{len(comparison.only_b)}",
        comparison.verdict,
    ]


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}" if value > 0 else "<1e-300"


def _print_flips(comparison: Comparison, most: int) -> None:
    for name, samples in (("only A", comparison.only_a), ("only B", comparison.only_b)):
        for sample in samples[:most]:
            say(f"{comparison.task}: {name} has it right: {sample}")
