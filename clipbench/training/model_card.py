"""The model card of a fine-tuned checkpoint: README.md with metadata for the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.results import Results, TaskResult
from clipbench.results.hub_cards import card_results
from clipbench.training.markdown import markdown_table, markdown_text, public_text
from clipbench.utils.files import atomic_write

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

_TAGS = ("clip", "hard-negatives", "clipbench")


@dataclass(frozen=True)
class CardFacts:
    """The content of a card. Any text is allowed: it is escaped.

    Attributes:
        name: The model's name.
        library: ``transformers`` or ``open_clip``: the format of the checkpoint.
        base_model: The model that training started from, as the user named it.
        concepts: Concept to its keywords.
        recipe: Every setting of the training; mappings may nest.
        data: Where the pairs came from: source, revision or fingerprint, number of pairs, …
        datasets: Hub ids of the data, for the metadata.
        training: What the run took: steps, seconds, device, …
        model: The checkpoint's facts, as ``clipbench.models.ModelInfo`` gives them.
        results: The checkpoint's evaluation.
        base_results: The base model's, of the same tasks.
        other_format: The other library, if a folder of that name holds the model in its format.
        overlaps: Warnings about tasks that share images with the training data.
    """

    name: str
    library: str
    base_model: str
    concepts: Mapping[str, Sequence[str]]
    recipe: Mapping[str, object]
    data: Mapping[str, object]
    datasets: Sequence[str] = ()
    training: Mapping[str, object] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    results: Results | None = None
    base_results: Results | None = None
    other_format: str | None = None
    overlaps: Sequence[str] = ()


def write_model_card(directory: Path, card: CardFacts) -> Path:
    """Write ``README.md`` into a checkpoint's folder, replacing any existing one.

    Local paths are cut to their last part, because cards are published.

    Returns:
        The file.

    Raises:
        ResultError: It cannot be written.
    """
    from huggingface_hub import ModelCard

    path = directory / "README.md"
    # The hub's own class parses the metadata, so invalid metadata is never written.
    content = ModelCard(f"---\n{card_metadata(card).to_yaml()}\n---\n{_body(card)}")
    atomic_write(path, str(content))
    return path


def card_metadata(card: CardFacts) -> ModelCardData:
    """The card's YAML header. Only scores on complete data go into its ``model-index``."""
    from huggingface_hub import ModelCardData

    base = re.sub(r"^(open_clip:)?(hf-hub:|hf:)", "", card.base_model)
    scores = list(card_results(card.results)) if card.results else []
    metadata = ModelCardData(
        model_name=public_text(card.name) if scores else None,
        language="en",
        library_name=card.library,
        datasets=[name for name in card.datasets if _is_hub_id(name)] or None,
        tags=list(_TAGS),
        pipeline_tag="zero-shot-image-classification",
        eval_results=scores or None,
    )
    if _is_hub_id(base):
        metadata["base_model"], metadata["base_model_relation"] = base, "finetune"
    return metadata


def _is_hub_id(name: str) -> bool:
    """Whether the hub would take a name: it refuses a card with others."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is public, and not in __all__

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1 and not Path(name).exists()


def _body(card: CardFacts) -> str:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    # What the template prints is escaped by `finalize`, all of it: only a table brings its own markup.
    environment = Environment(  # noqa: S701  # Markdown, not HTML
        loader=PackageLoader("clipbench.training", "templates"),
        finalize=lambda value: value if isinstance(value, Markup) else markdown_text(value),
        keep_trailing_newline=True,
    )
    failed = [report.error for report in card.results.tasks.values() if report.error] if card.results else []
    found = [
        f"{task}: {problem}"
        for task, report in (card.results.tasks.items() if card.results else ())
        for problem in report.problems
    ]
    formats = {card.library: "DIRECTORY"}
    if card.other_format:
        formats[card.other_format] = f"DIRECTORY/{card.other_format}"
    return environment.get_template("model_card.md").render(
        card=card,
        base=card.base_model,
        data=card.data,
        recipe=card.recipe,
        training=card.training,
        model=card.model,
        formats=formats,
        raw=Markup,
        scores=list(_score_rows(card.results, card.base_results)) if card.results else [],
        problems=[*failed, *found, *card.overlaps],
        table=lambda mapping: Markup(markdown_table(mapping)),  # noqa: S704  # its cells are escaped
    )


def _score_rows(results: Results, base: Results | None) -> Iterator[dict[str, str]]:
    for task, result in results.tasks.items():
        for metric, measure in result.metrics.items() if result.error is None else ():
            is_primary = metric == result.primary_metric and result.chance is not None
            yield {
                "task": task,
                "version": str(result.version),
                "metric": metric,
                "value": str(measure),
                "base": _base_score(result, base.tasks.get(task) if base else None, metric),
                "chance": f"{result.chance:.4f}" if is_primary else "",
                "n": f"{result.counts.effective:,}",
            }


def _base_score(result: TaskResult, base: TaskResult | None, metric: str) -> str:
    """The base model's score, if it has the same task version and number of samples."""
    if base is None or base.error or (base.version, base.counts) != (result.version, result.counts):
        return "–"
    return str(base.metrics.get(metric, "–"))
