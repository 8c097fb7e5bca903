"""The files of a finished run: the model, its card, the trade-off figure and the loss curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import point_from_results
from clipbench.analysis.tradeoff_figure import draw_tradeoff
from clipbench.concepts import Concept
from clipbench.errors import ModelError
from clipbench.models import Model
from clipbench.models.convert import to_other_format
from clipbench.models.saving import put_in_place
from clipbench.results import Results
from clipbench.task_types.registry import find_task_type
from clipbench.training.lora import merged
from clipbench.training.loss_curve import draw_loss_curve
from clipbench.training.model_card import CardFacts, write_model_card
from clipbench.utils.files import atomic_directory

if TYPE_CHECKING:
    from clipbench.training.setup import TrainingSetup


def draw_run(scores: Mapping[int, Results], directory: Path, curve: str) -> list[Path]:
    """Draw Figure 4 for one run: a point for each checkpoint and one for the base model.

    Returns:
        The files; empty without a scored checkpoint, exactly one retrieval task and at least one other task.
    """
    tasks = next(iter(scores.values())).tasks.values() if scores else ()
    whole_sets = [find_task_type(task.task_type).whole_set for task in tasks]
    if len(scores) < 2 or whole_sets.count(True) != 1 or len(whole_sets) < 2:
        return []
    points = [
        point_from_results(
            results, curve if step else ORIGINAL, f"step {step}" if step else results.model_name, step=step
        )
        for step, results in scores.items()
    ]
    return draw_tradeoff(points, directory, curve)


def write_model(model: Model, directory: Path) -> Path:
    """Write the model to the run's folder, and the other library's format to a folder inside.

    Returns:
        The folder of the other library's format.

    Raises:
        ModelError: The other library does not support the model; its own format is complete.
        ResultError: A file cannot be written.
    """
    with merged(model):
        # Inside the run's folder, which may be a disk of its own.
        with atomic_directory(directory / "model", lambda new, _: put_in_place(new, directory)) as part:
            model.save(part)
        return to_other_format(model, directory)


def write_artifacts(setup: TrainingSetup, step: int, on_note: Callable[[str], None]) -> None:
    """Write the model in both libraries' formats, the trade-off figure, the loss curve and the model card.

    Args:
        setup: The run, with the final model.
        step: The checkpoint that the final model is.
        on_note: Called with messages for the user.

    Raises:
        ResultError: A file cannot be written.
    """
    directory = setup.folder.path
    setup.model.module.eval()
    other_format = None
    try:
        other_format = write_model(setup.model, directory).name
    except ModelError as error:
        on_note(f"the model is saved only in its own library's format: {error}")
    scores = setup.scores.all()
    draw_run(scores, directory, directory.name)
    draw_loss_curve(setup.folder.read_log(), directory, directory.name)
    origins = (setup.pairs.provenance, *setup.pairs.mixed.values())
    hub = list(dict.fromkeys(origin.location for origin in origins if origin.layout == "hub"))
    write_card(directory, setup.facts, setup.concepts, hub, (scores.get(0), scores.get(step)), other_format)


def write_card(
    directory: Path,
    facts: Mapping[str, Any],
    concepts: Sequence[Concept],
    datasets: Sequence[str],
    scores: tuple[Results | None, Results | None],
    other_format: str | None,
) -> None:
    """Write the model card, ``README.md``.

    Args:
        directory: The run's folder.
        facts: The content of ``finetune.json``: recipe, model, data, training.
        concepts: The concepts.
        datasets: Hub ids of the training data.
        scores: The base model's and the final model's.
        other_format: The other library, if the model is saved in its format too.

    Raises:
        ResultError: It cannot be written.
    """
    base, final = scores
    write_model_card(
        directory,
        CardFacts(
            name=directory.name,
            library=facts["model"]["facts"]["library"],
            base_model=facts["model"]["id"],
            concepts={concept.name: list(concept.replacements) for concept in concepts},
            recipe=facts["recipe"],
            data=facts["data"],
            datasets=datasets,
            training=facts["training"],
            model=facts["model"]["facts"],
            results=final,
            base_results=base,
            other_format=other_format,
            overlaps=facts["overlaps"],
        ),
    )
