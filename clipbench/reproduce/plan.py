"""A study's plan: its runs with counts, how much of each is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.steps import Run, tasks_at
from clipbench.reproduce.study import Study, concept_label
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
    """

    run: Run
    captions: int | None
    steps: int | None
    scorings: int | None
    tasks: tuple[str, ...]
    done: int
    seconds: float | None

    @property
    def parts(self) -> int | None:
        """The training and the scorings."""
        return None if self.scorings is None else self.scorings + (not self.run.is_base)


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
    captions, steps, pairs, checkpoints = None, None, 0, {0: 0.0}
    if not run.is_base:
        captions = counts.get(run.concept)
        if captions is None:
            return RunPlan(run, None, None, None, (), 0, None)
        recipe = study.training.recipe_of(run.concept, run.negatives, run.seed)
        per_epoch = captions // recipe.own_pairs
        steps, pairs = per_epoch * recipe.epochs, captions * recipe.epochs * recipe.batch_size // recipe.own_pairs
        stops = sorted(recipe.checkpoint_steps(steps, per_epoch)) if per_epoch else []
        checkpoints = {step: step / per_epoch for step in stops}
    scorings = [(step, task) for step, epoch in checkpoints.items() for task in tasks_at(study, run, epoch, tables)]
    record = folder.training(run) if folder and not run.is_base else None
    is_trained = record is not None and record.is_finished
    missing = [scoring for scoring in scorings if not (folder and folder.is_scored(run, *scoring))]
    seconds = None
    if study.speed:
        to_train = 0 if is_trained else pairs
        to_score = len({step for step, _ in missing})
        measured = folder.rates(run.negatives) if folder else []
        rates = study.speed.captions_per_second
        rate = fmean(measured) if measured else rates[min(run.negatives, len(rates) - 1)]
        seconds = to_train / rate + (study.speed.scoring_seconds or 0.0) * to_score
    tasks = tuple(dict.fromkeys(task for _, task in scorings))
    return RunPlan(run, captions, steps, len(scorings), tasks, is_trained + len(scorings) - len(missing), seconds)


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
