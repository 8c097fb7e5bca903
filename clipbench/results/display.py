"""A run's results as a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

from clipbench.results.task_result import Measure, TaskResult
from clipbench.utils.markup import html_table

if TYPE_CHECKING:
    from clipbench.results.results import Results

_HEADER = ("task", "metric", "%", "95 %", "chance", "blind", "0 to 100 %", "n")
_WIDTH = 160  # of the track, in pixels; it stands for 0 to 100 %


def results_html(results: Results) -> str:
    """A row for each metric, with an interval drawn for the primary ones; problems stand below."""
    when = f"{datetime.fromtimestamp(results.date):%d %B %Y, %H:%M}" if results.date else ""
    title = " · ".join(filter(None, [results.model_name or "results", when, "interrupted" * results.interrupted]))
    rows = [row for name, task in results.tasks.items() for row in _task_rows(name, task)]
    rows += [
        [f"{name}, mean", group.metric, *_numbers(group.mean), "", "", _track(group.mean), f"{len(group.tasks)} tasks"]
        for name, group in results.groups.items()
        if group.metric and group.mean
    ]
    problems = [f"{name}: {problem}" for name, task in results.tasks.items() for problem in task.problems]
    errors = [task.error for task in results.tasks.values() if task.error]
    return html_table(title, _HEADER, rows, [*errors, *problems, *_legend(results)], names=2)


def _task_rows(name: str, task: TaskResult) -> Iterator[list[str]]:
    if not task.metrics:
        yield [name, "failed" if task.error else task.primary_metric, "–", "", "", "", "", ""]
    for place, (metric, measure) in enumerate(task.metrics.items()):
        primary = metric == task.primary_metric
        chance, blind = task.chance if primary else None, task.blind_floor(metric)
        track = _track(measure, chance, blind) if primary else ""
        amount = f"{task.counts.effective:,}" if place == 0 else ""
        yield ["" if place else name, metric, *_numbers(measure), _percent(chance), _percent(blind), track, amount]


def _numbers(measure: Measure) -> list[str]:
    """A score in percent, and half its interval."""
    margin = "" if measure.interval is None else f"± {50 * (measure.interval[1] - measure.interval[0]):.1f}"
    return [_percent(measure.value), margin]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _track(measure: Measure, chance: float | None = None, blind: float | None = None) -> Markup:
    """The score on a line from 0 to 100 %, with its interval, a tick at chance and a dotted one at the blind rule."""
    low, high = measure.interval or (measure.value, measure.value)
    tick = Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="2" y2="14" stroke="currentColor" stroke-dasharray="{1}"/>')
    ticks = [
        tick.format(_WIDTH * share, dashes) for share, dashes in ((chance, "none"), (blind, "2 2")) if share is not None
    ]
    return Markup(
        '<svg width="{w}" height="16" viewBox="0 0 {w} 16" role="img" aria-label="{label}">'
        '<line x1="0" x2="{w}" y1="8" y2="8" stroke="currentColor" opacity=".25"/>{ticks}'
        '<line x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8" stroke="#4477cc" stroke-width="9" opacity=".4"/>'
        '<circle cx="{at:.1f}" cy="8" r="2.5" fill="#4477cc"/></svg>'
    ).format(
        w=_WIDTH,
        label=f"{_percent(measure.value)} %",
        ticks=Markup().join(ticks),
        low=_WIDTH * low,
        high=_WIDTH * high,
        at=_WIDTH * measure.value,
    )


def _legend(results: Results) -> Iterator[str]:
    tasks = results.tasks.values()
    if any(task.chance is not None for task in tasks):
        yield "│ chance" + "   ┊ the best rule that sees no image" * any(task.blind for task in tasks)
