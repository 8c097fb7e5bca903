"""A study's plan: its runs with counts, how much of each is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.steps import Run, is_trained, recipe_of, tasks_at
from clipbench.reproduce.study import Speed, Study
from clipbench.reproduce.training_schema import concept_label
from clipbench.training.datasets import NO_PLACES, is_on_hub, open_training_data, training_concepts


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of the plan.

    Attributes:
        run: The run.
        captions: Per epoch; None if unknown until the data is there.
        steps: Optimizer steps.
        scorings: Pairs of a checkpoint and a task.
        tasks: The tasks.
        done: How many of the training and the scorings are done.
        seconds: Estimated time of the rest; None if unknown.
        trains: The run has a training of its own.
    """

    run: Run
    captions: int | None
    steps: int | None
    scorings: int | None
    tasks: tuple[str, ...]
    done: int
    seconds: float | None
    trains: bool = True

    @property
    def parts(self) -> int | None:
        """The training and the scorings."""
        return None if self.scorings is None else self.scorings + self.trains


def plan_study(
    study: Study,
    runs: Sequence[Run],
    folder: StudyFolder | None,
    counts: Mapping[str, int],
    tables: Collection[str] | None = None,
) -> list[RunPlan]:
    """Plan the runs.

    Args:
        study: The study.
        runs: The runs that are wanted.
        folder: What may be finished already; None if there is no folder yet.
        counts: Concept to captions, see ``count_captions``.
        tables: Ids of the tables that are wanted; None for all.
    """
    return [_plan(study, run, folder, counts, tables) for run in runs]


def _plan(
    study: Study, run: Run, folder: StudyFolder | None, counts: Mapping[str, int], tables: Collection[str] | None
) -> RunPlan:
    trains = is_trained(study, run)
    captions, steps, pairs, checkpoints = None, None, 0, {0: 0.0}
    if not run.is_base or trains:
        captions = _captions(study, run, counts)
        if captions is None:
            return RunPlan(run, None, None, None, (), 0, None, trains)
        recipe = recipe_of(study, run.finetuned)
        per_epoch = captions // recipe.own_pairs
        steps = recipe.max_steps or per_epoch * recipe.epochs
        pairs = steps * recipe.batch_size
        stops = sorted(recipe.checkpoint_steps(steps, per_epoch)) if per_epoch else []
        checkpoints = {step: step / per_epoch for step in stops}
    if run.is_base:
        checkpoints = {0: 0.0}
    elif run.is_interpolated:
        checkpoints = dict(list(checkpoints.items())[-1:])
    scorings = [(step, task) for step, epoch in checkpoints.items() for task in tasks_at(study, run, epoch, tables)]
    record = folder.training(run) if folder and trains else None
    done = record is not None and record.is_finished
    missing = [scoring for scoring in scorings if not (folder and folder.is_scored(run, *scoring))]
    seconds = None
    if study.speed:
        to_score = len({step for step, _ in missing})
        rate = _rate(study, study.speed, run, folder) if trains and not done else None
        seconds = (pairs / rate if rate else 0.0) + (study.speed.scoring_seconds or 0.0) * to_score
    tasks = tuple(dict.fromkeys(task for _, task in scorings))
    count = done + len(scorings) - len(missing)
    return RunPlan(run, captions, steps, len(scorings), tasks, count, seconds, trains)


def _captions(study: Study, run: Run, counts: Mapping[str, int]) -> int | None:
    """Captions that a run is trained on per epoch."""
    if run.is_base:
        return study.base_training.captions if study.base_training else None
    return counts.get(run.concept)


def _rate(study: Study, speed: Speed, run: Run, folder: StudyFolder | None) -> float:
    """Captions per second in a run's training: as measured in the folder, or else as the study states."""
    negatives = run.kind.negatives or 0
    measured = folder.rates(negatives, of_base=run.is_base) if folder else []
    rates = speed.captions_per_second
    return fmean(measured) if measured else rates[min(negatives, len(rates) - 1)]


def count_captions(study: Study, data: Mapping[str, str] = NO_PLACES) -> dict[str, int]:
    """Count the captions of each concept: as the study states, or else in the data.

    Data on the hub is not counted, as that would download it.

    Returns:
        Concept to captions, without concepts whose number is unknown.

    Raises:
        ConfigError, DataError: The data cannot be opened.
    """
    training, places = study.training, study.training.places(data)
    stated = {concept: training.captions.get(concept_label(concept)) for concept in training.concepts}
    counts = {concept: count for concept, count in stated.items() if count is not None}
    if len(counts) < len(training.concepts) and not is_on_hub(training.data, places):
        concepts = dict(zip(training.concepts, training_concepts(training.data, training.concepts), strict=True))
        counts = dict.fromkeys(concepts, 0)
        for row in open_training_data(training.data, places).rows():
            for name, concept in concepts.items():
                counts[name] += sum(concept.matches(caption) for caption in row.captions)
    return {concept: min(count, training.limit or count) for concept, count in counts.items()}
