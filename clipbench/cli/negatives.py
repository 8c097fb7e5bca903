"""`clipbench negatives`: captions with hard negatives, as a filter or as a table to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.core import ParameterSource

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_concepts, complete_training_data
from clipbench.cli.console import note, say_json
from clipbench.cli.display import display
from clipbench.cli.option_flags import comma_separated, places
from clipbench.cli.values import check_device
from clipbench.errors import ConfigError, DataError
from clipbench.utils.text import pluralize, text_problem

if TYPE_CHECKING:
    from clipbench.concepts import Variants
    from clipbench.training.pairs import TrainingPairs

_ONLY = {  # which method a flag is for
    "concept": "keywords",
    "pos": "mlm",
    "seed": "mlm",
    "threshold": "neighbors",
}


@dataclass(frozen=True)
class _Settings:
    method: str
    concept: str | None
    model: str | None
    pos: tuple[str, ...]
    negatives: int
    threshold: float
    seed: int
    device: str | None
    batch_size: int


@click.command("negatives", cls=Command)
@click.option(
    "--concept",
    "-c",
    shell_complete=complete_concepts,
    help="object, color, location, size, or a YAML file: replace its keywords.",
)
@click.option(
    "--method",
    type=click.Choice(["keywords", "mlm", "neighbors"]),
    default="keywords",
    show_default=True,
    help="keywords of --concept exchanged; a word filled in by a masked language model (Doveh et al. 2023); or the"
    " nearest captions of other images.",
)
@click.option("--model", "-M", metavar="ID", help="mlm: the masked language model; neighbors: the text encoder.")
@click.option(
    "--pos",
    default="",
    metavar="NAMES",
    callback=comma_separated,
    help="mlm: parts of speech, such as NOUN,ADJ (clipbench[pos]). Default: NOUN,ADJ.",
)
@click.option("--negatives", type=click.IntRange(min=1), help="Hard negatives per caption. Default: all; else 1.")
@click.option("--threshold", type=click.FloatRange(-1, 1), help="neighbors: nearer ones say the same. Default: 0.95.")
@click.option("--seed", type=click.IntRange(min=0), help="mlm: decides which word of a caption. Default: 0.")
@click.option("--device", callback=check_device, help="cpu, cuda, cuda:1. Default: a GPU if available.")
@click.option("--batch_size", "-b", type=click.IntRange(min=1), default=64, show_default=True, help="Captions at once.")
@click.option(
    "--train_data",
    metavar="NAME|FILE",
    shell_complete=complete_training_data,
    help="Captions of data to train on, in place of CAPTIONS.",
)
@click.option("--data", multiple=True, metavar="NAME=PLACE", callback=places, help="Location of a named data set.")
@click.option("--allow_missing", is_flag=True, help="Leave out captions of --train_data with a missing image.")
@click.option(
    "--output_path",
    "-o",
    type=click.Path(path_type=Path),
    help="Write a table (.parquet, .tsv, .csv or .jsonl) for `finetune --negatives_from neg_caption`.",
)
@click.argument("captions", type=click.File("r", encoding="utf-8"), default="-")
def command(
    captions: TextIO,
    train_data: str | None,
    data: Mapping[str, str],
    output_path: Path | None,
    allow_missing: bool,
    **flags: Any,
) -> None:
    """Read one caption per line, and write one JSON line for each that has hard negatives.

    \b
    clipbench negatives --concept color < captions.txt
    {"line": 1, "caption": "A white cat.", "keyword": "white", "start": 2, "variants": ["A blue cat.", …]}
    clipbench negatives --method mlm --model bert-base-uncased --train_data coco --data coco=FOLDER -o negatives.parquet
    """
    settings = _settings(flags, output_path)
    pairs = None
    if train_data is not None:
        if click.get_current_context().get_parameter_source("captions") is not ParameterSource.DEFAULT:
            raise ConfigError(f"give --train_data or a file of captions ({captions.name}), not both")
        pairs = _pairs(train_data, data, allow_missing)
    elif data or allow_missing:
        raise ConfigError("--data, --allow_missing: have no effect without --train_data")
    if settings.method == "keywords" and pairs is None and output_path is None:
        _filter(settings, captions)
        return
    lines = (
        list(enumerate(pairs.captions, 1)) if pairs else [one for one in _lines(captions) if not text_problem(one[1])]
    )
    if not lines:
        raise DataError("no captions: give one per line")
    _write(settings, lines, pairs, output_path)


def _settings(flags: Mapping[str, Any], output_path: Path | None) -> _Settings:
    method = flags["method"]
    for name, of in _ONLY.items():
        if flags[name] not in (None, ()) and method != of:
            raise ConfigError(f"--{name}: has no effect with --method {method}")
    if method == "keywords" and flags["concept"] is None:
        raise ConfigError("--concept: name the concept whose keywords are replaced, or another --method")
    if method == "keywords" and flags["model"] is not None:
        raise ConfigError("--model: has no effect with --method keywords")
    if method != "keywords" and flags["model"] is None:
        raise ConfigError(f"--method {method}: needs --model")
    if output_path is not None:
        from clipbench.training.negatives.tables import check_table

        check_table(output_path)
    pos = flags["pos"] or ("NOUN", "ADJ")
    if method == "mlm":
        from clipbench.training.negatives.tagging import Tagger, check_parts

        check_parts(pos)
        Tagger()  # says now that it is not installed
    negatives = flags["negatives"] or (10**9 if method == "keywords" else 1)
    threshold = 0.95 if flags["threshold"] is None else flags["threshold"]
    kept = {name: flags[name] for name in ("method", "concept", "model", "device", "batch_size")}
    return _Settings(pos=tuple(pos), negatives=negatives, threshold=threshold, seed=flags["seed"] or 0, **kept)


def _pairs(train_data: str, data: Mapping[str, str], allow_missing: bool) -> TrainingPairs:
    from clipbench.training.datasets import open_training_data
    from clipbench.training.gathering import gather_captions

    pairs = gather_captions(open_training_data(train_data, data), allow_missing=allow_missing)
    if pairs.left_out:
        note(f"{pluralize(pairs.left_out, 'caption')} left out: their images are missing")
    return pairs


def _filter(settings: _Settings, captions: TextIO) -> None:
    from clipbench.concepts import load_concept

    chosen = load_concept(settings.concept or "")
    for number, line in _lines(captions):
        variants = chosen.variants(line)
        if variants is not None and not say_json(_found(number, variants, settings.negatives), indent=None):
            return


def _found(number: int, variants: Variants, most: int) -> dict[str, object]:
    return {
        "line": number,
        "caption": variants.caption,
        "keyword": variants.keyword,
        "start": variants.start,
        "variants": variants[1:][:most],
    }


def _write(
    settings: _Settings, lines: Sequence[tuple[int, str]], pairs: TrainingPairs | None, output_path: Path | None
) -> None:
    texts = [text for _, text in lines]
    if settings.method == "neighbors":
        near = _neighbors(settings, texts, pairs)
        found: list[dict[str, object] | None] = [
            {"line": number, "caption": text, "variants": [texts[other] for other in others]} if others else None
            for (number, text), others in zip(lines, near, strict=True)
        ]
    else:
        near = None
        found = [
            None if variants is None else _found(number, variants, settings.negatives)
            for (number, _), variants in zip(lines, _variants(settings, texts), strict=True)
        ]
    if without := found.count(None):
        note(f"{without:,} of {pluralize(len(texts), 'caption')} have no hard negative")
    if output_path is None:
        for one in found:
            if one is not None and not say_json(one, indent=None):
                return
        return
    _write_table(texts, found, near, pairs, output_path)


def _write_table(
    texts: Sequence[str],
    found: Sequence[dict[str, Any] | None],
    near: Sequence[Sequence[int]] | None,
    pairs: TrainingPairs | None,
    output_path: Path,
) -> None:
    from clipbench.training.negatives.tables import NegativesTable

    # Numbers of rows count all of them.
    kept = [row for row, one in enumerate(found) if one is not None or near is not None]
    files = None
    if pairs is not None:
        refs = [pairs.images[number] for number in pairs.image_of]
        if not all(ref.path for ref in refs):
            note("warning: the images are no files of their own: column filepath has their names only")
        files = [str(path.resolve()) if (path := refs[row].path) else refs[row].key for row in kept]
    NegativesTable(
        [texts[row] for row in kept],
        [one["variants"] if (one := found[row]) is not None else [] for row in kept],
        files,
        near if pairs is not None else None,
    ).write(output_path)
    note(f"{pluralize(len(kept), 'caption')} written to {output_path}")


def _variants(settings: _Settings, texts: Sequence[str]) -> Iterator[Variants | None]:
    if settings.method == "keywords":
        from clipbench.concepts import load_concept

        return map(load_concept(settings.concept or "").variants, texts)
    from clipbench.training.negatives.masked_words import MaskedWords

    model = settings.model or ""
    filler = MaskedWords(model, settings.pos, settings.negatives, seed=settings.seed, device=settings.device)
    return _counted(filler.variants(texts, settings.batch_size), len(texts))


def _counted(found: Iterator[Variants | None], total: int) -> Iterator[Variants | None]:
    """The same, with a progress bar."""
    for done, one in enumerate(found, 1):
        display.advance("captions", done, total)
        yield one


def _neighbors(settings: _Settings, texts: Sequence[str], pairs: TrainingPairs | None) -> list[list[int]]:
    import numpy as np

    from clipbench.training.negatives.neighbors import embed_captions, nearest_captions

    features = embed_captions(
        settings.model or "",
        texts,
        device=settings.device,
        batch_size=settings.batch_size,
        on_progress=lambda done, total: display.advance("captions", done, total),
    )
    if pairs is None:
        note("each line is taken for the caption of another image; --train_data knows which captions share one")
    images = np.arange(len(texts)) if pairs is None else pairs.image_of
    return nearest_captions(features, texts, images, settings.negatives, settings.threshold)


def _lines(captions: TextIO) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line."""
    number = 0
    try:
        for line in captions:
            number += 1
            # A byte order mark; files that were joined also have them in the middle.
            yield number, line.removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{captions.name}: not UTF-8 after line {number}: {error.reason}") from None
