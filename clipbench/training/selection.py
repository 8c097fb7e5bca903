"""Which checkpoint becomes a run's model: the best on one task among those that lost little on others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clipbench.errors import ConfigError
from clipbench.utils.registry import close_matches

if TYPE_CHECKING:
    from clipbench.results import Results

_GRAMMAR: Final = (
    "give TASK@TASK>=CHANGE, such as scenes_location@scenes_retrieval>=-0.02; further TASK>=CHANGE after commas"
)
_ROUNDING: Final = 1e-9  # scores are shares of at most 10^8 samples, and their differences are not exact


@dataclass(frozen=True, slots=True)
class Choice:
    """The checkpoint that was chosen.

    Attributes:
        step: Its step.
        satisfied: Whether it is within all bounds; if none is, the one that misses them least was chosen.
        scores: Primary metric by task.
        changes: The difference from the base model, by task.
    """

    step: int
    satisfied: bool
    scores: Mapping[str, float]
    changes: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values, rounded to six digits."""
        scores, changes = (
            {task: round(value, 6) for task, value in values.items()} for values in (self.scores, self.changes)
        )
        return {"step": self.step, "satisfied": self.satisfied, "scores": scores, "changes": changes}

    def __str__(self) -> str:
        found = (f"{task} {self.scores[task]:.4f} ({self.changes[task]:+.4f})" for task in self.scores)
        return f"step {self.step:,}, " + ", ".join(found)


@dataclass(frozen=True, slots=True)
class Selection:
    """A rule that chooses a checkpoint, ``TASK@TASK>=CHANGE``.

    Attributes:
        task: The task whose primary metric is to be as high as possible.
        bounds: Task to the least difference of its primary metric from the base model's.
    """

    task: str
    bounds: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read a rule. Without bounds, ``TASK``, the best checkpoint is chosen.

        Examples:
            >>> Selection.parse("scenes_location@scenes_retrieval>=-0.02").bounds
            {'scenes_retrieval': -0.02}

        Raises:
            ConfigError: It is not of that form.
        """
        task, sign, rest = (part.strip() for part in str(text).partition("@"))
        bounds: dict[str, float] = {}
        for bound in rest.split(",") if sign else []:
            name, _, number = (part.strip() for part in bound.partition(">="))
            if not name or name in bounds or name == task:
                raise ConfigError(f"`select` {text!r}: {_GRAMMAR}, each task once")
            bounds[name] = _change(text, number)
        if not task or set(task) & set(",<>= "):
            raise ConfigError(f"`select` {text!r}: {_GRAMMAR}")
        return cls(task, bounds)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that it needs."""
        return (self.task, *self.bounds)

    def choose(self, scores: Mapping[int, Results]) -> Choice | None:
        """Choose among checkpoints.

        The best is the one with the highest score; of equal ones, the one that trained least. Where none is within all
        bounds, the one whose worst miss is smallest is chosen.

        Args:
            scores: Step to scores; step 0 is the base model, which is not chosen.

        Returns:
            The choice; None if the base model or all checkpoints lack a score.
        """
        known = {step: found for step, results in scores.items() if (found := self._scores(results))}
        base = known.pop(0, None)
        if base is None or not known:
            return None
        changes = {step: {task: value - base[task] for task, value in found.items()} for step, found in known.items()}
        misses = {
            step: max((least - found[task] for task, least in self.bounds.items()), default=-math.inf)
            for step, found in changes.items()
        }
        within = [step for step, miss in misses.items() if miss <= _ROUNDING]
        rank = {step: (0.0 if within else misses[step], -known[step][self.task], step) for step in within or known}
        step = min(rank, key=rank.__getitem__)
        return Choice(step, bool(within), known[step], changes[step])

    def _scores(self, results: Results) -> dict[str, float] | None:
        found = {}
        for task in self.tasks:
            result = results.tasks.get(task)
            measure = result.metrics.get(result.primary_metric) if result and not result.error else None
            if measure is None or not math.isfinite(measure.value):
                return None
            found[task] = measure.value
        return found


def scored_tasks(eval_tasks: str, select: str | None) -> str:
    """The tasks that checkpoints are scored on: those that were asked for, and those that ``select`` needs.

    Examples:
        >>> scored_tasks("scenes_color,scenes_size", "scenes_color@scenes_retrieval>=0")
        'scenes_color,scenes_size,scenes_retrieval'

    Raises:
        UnknownName, ConfigError: There is no such task, or a name in ``select`` is a group's.
    """
    from clipbench.task_types.registry import known_tasks, select_tasks

    asked = {task.name for task in select_tasks(eval_tasks)} if eval_tasks else set()
    if select is None:
        return eval_tasks
    known = asked | {task.name for task in known_tasks()}
    missing = [name for name in Selection.parse(select).tasks if name not in asked]
    for name in missing:
        if name not in known:
            raise ConfigError(f"`select` {select!r}: unknown task {name!r}{close_matches(name, known)}")
    return ",".join([*([eval_tasks] if eval_tasks else []), *missing])


def _change(text: str, number: str) -> float:
    try:
        change = float(number)
    except ValueError:
        change = math.nan
    if not -1 <= change <= 1:
        raise ConfigError(f"`select` {text!r}: CHANGE is a difference of shares, from -1 to 1; {_GRAMMAR}")
    return change
