"""What a study is going to do: its runs with counts, how much of them is there already, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.schedule import Run, tasks_at
from clipbench.reproduce.study import Speed, Study, concept_label
from clipbench.training.datasets import NO_PLACES, is_on_hub, open_training_data, training_concepts


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of the plan.

    Attributes:
        run: The run.
        captions: Trained on in an epoch; None where nobody knows before the data is there.
        steps: Optimiser steps.
        scorings: Pairs of a checkpoint and a task.
        tasks: The tasks.
        done: Of the training and the scorings, how many are there.
        seconds: What is left takes so long, by the study's or the folder's own speed; None where nobody knows.
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
    """Lay out what is to be done.

    Args:
        study: The study.
        runs: Those that are wanted.
        folder: What may be there already; None where there is no folder yet.
        counts: Concept to captions, see :func:`count_captions`.
        tables: Ids of the tables that are wanted; None for all.
    """
    return [_planned(study, run, folder, counts, tables) for run in runs]


def _planned(
    study: Study, run: Run, folder: StudyFolder | None, counts: Mapping[str, int], tables: Collection[str] | None
) -> RunPlan:
    epochs = _checkpoint_epochs(study, run, counts)
    each = [(step, tasks_at(study, run, epoch, tables)) for step, epoch in epochs or []]
    tasks = tuple(dict.fromkeys(task for _, found in each for task in found))
    captions = None if run.is_base else counts.get(run.concept)
    batch = study.training.recipe_of("any", run.negatives, run.seed).batch_size
    steps = None if captions is None else captions // batch * study.training.epochs
    pairs = [(step, task) for step, found in each for task in found]
    trained = folder.trained(run) if folder and not run.is_base else None
    is_trained = trained is not None and trained.status == "finished"
    missing = [pair for pair in pairs if not (folder and folder.is_scored(run, *pair))]
    seconds = _seconds(study, run, captions, is_trained, len({step for step, _ in missing}), folder)
    done = is_trained + len(pairs) - len(missing)
    return RunPlan(run, captions, steps, len(pairs) if epochs is not None else None, tasks, done, seconds)


def _checkpoint_epochs(study: Study, run: Run, counts: Mapping[str, int]) -> list[tuple[int, float]] | None:
    """Step and epoch of each checkpoint; None where nobody knows how many captions there are."""
    if run.is_base:
        return [(0, 0.0)]
    captions = counts.get(run.concept)
    if captions is None:
        return None
    recipe = study.training.recipe_of("any", run.negatives, run.seed)
    an_epoch = captions // recipe.batch_size
    if not an_epoch:
        return []
    return [(step, step / an_epoch) for step in sorted(recipe.checkpoint_steps(an_epoch * recipe.epochs, an_epoch))]


def _seconds(
    study: Study,
    run: Run,
    captions: int | None,
    is_trained: bool,
    to_score: int,
    folder: StudyFolder | None,
) -> float | None:
    if study.speed is None or (captions is None and not run.is_base):
        return None
    training = 0.0
    if captions and not is_trained:
        training = captions * study.training.epochs / _captions_per_second(study.speed, run, folder)
    return training + (study.speed.scoring_seconds or 0.0) * to_score


def _captions_per_second(speed: Speed, run: Run, folder: StudyFolder | None) -> float:
    """What trainings with as many negatives did in this folder, or else what the study says."""
    measured = folder.rates(run.negatives) if folder else []
    if measured:
        return sum(measured) / len(measured)
    rates = speed.captions_per_second
    return rates[min(run.negatives, len(rates) - 1)]


def count_captions(study: Study, data: Mapping[str, str] = NO_PLACES) -> dict[str, int]:
    """How many captions of each concept are trained on: what the study says, or else what is in the data.

    Data on the hub is not looked at: that would download it.

    Returns:
        Concept to captions; without those that nobody knows.

    Raises:
        ConfigError, DataError: The data cannot be opened.
    """
    training = study.training
    said = {concept: training.captions.get(concept_label(concept)) for concept in training.concepts}
    counts = {concept: count for concept, count in said.items() if count is not None}
    if len(counts) < len(training.concepts) and not is_on_hub(training.data, data):
        concepts = dict(zip(training.concepts, training_concepts(training.data, training.concepts), strict=True))
        counts = dict.fromkeys(concepts, 0)
        for row in open_training_data(training.data, data).rows():
            for name, concept in concepts.items():
                counts[name] += sum(concept.matches(caption) for caption in row.captions)
    return {concept: min(count, training.limit or count) for concept, count in counts.items()}
