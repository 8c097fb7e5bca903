"""`clipbench mine`: captions of a collection that hold a concept's keyword, with hard negatives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_concepts
from clipbench.cli.console import note, print_rows
from clipbench.cli.display import display
from clipbench.cli.option_flags import Section, flag
from clipbench.mining.options import MiningOptions, OutputFormat

_SHOWN = 20


def _negatives(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal():
        raise click.BadParameter("give a number, or all")
    return int(value)


OPTIONS = Section(
    MiningOptions,
    concept=flag(
        "--concept", "-c", shell_complete=complete_concepts, help="object, color, location, size, or a YAML file."
    ),
    output_path=flag(
        "--output_path",
        "-o",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the mined captions; an unfinished mining in it is resumed.",
    ),
    caption_column=flag("--caption_column", metavar="NAME", help="Column of the captions. Default: found by its name."),
    negatives=flag(
        "--negatives", type=str, metavar="N|all", callback=_negatives, help="Hard negatives per caption, at most."
    ),
    output_format=flag(
        "--output_format",
        type=click.Choice(get_args(OutputFormat)),
        help="tsv: filepath, title and neg_caption, as open_clip and NegCLIP read them. auto: parquet for tables,"
        " webdataset for tars.",
    ),
    seed=flag("--seed", type=int, help="Seed of the draw of negatives."),
    ray=flag("--ray", is_flag=True, help="Work on a Ray cluster (clipbench[ray]): RAY_ADDRESS, or a local one."),
)


@click.command("mine", cls=Command, resumable=True)
@click.argument("captions", nargs=-1, required=True, metavar="SHARDS…")
@OPTIONS
@click.option("--num_proc", "processes", type=click.IntRange(min=1), help="Processes. Default: one for each core.")
def command(captions: tuple[str, ...], processes: int | None, **flags: Any) -> int:
    """Find the captions that contain a concept's keyword, and write them with hard negatives.

    SHARDS are parquet, TSV, CSV or WebDataset tar files, folders of them, globs, {00000..00041} ranges, or URLs
    (https://, s3://, hf://). The folder also gets `statistics.json`: how frequent each keyword is, and what a blind
    rule gets right that always chooses the more frequent one.

    \b
    clipbench mine 'laion/*.parquet' --concept color --output_path mined
    clipbench finetune --train_data mined --negatives_from neg_caption …
    """
    options = OPTIONS.build(flags, captions=captions, processes=processes or os.cpu_count() or 1)
    from clipbench.mining.run import mine

    statistics = mine(options, display.advance, note)
    keywords = sorted(statistics["keywords"].items(), key=lambda entry: -entry[1]["captions"])
    rows = [[word, f"{entry['captions']:,}", f"{entry['share']:.3f}"] for word, entry in keywords[:_SHOWN]]
    print_rows(["keyword", "captions", "share"], rows, "table")
    if len(keywords) > _SHOWN:
        note(f"{len(keywords) - _SHOWN} rarer keywords are in {options.output_path / 'statistics.json'}")
    note(
        f"{statistics['mined']:,} of {statistics['captions']:,} captions in {options.output_path}; blind keyword prior"
        f" {statistics['keyword_prior']:.3f}, averaged over keywords {statistics['keyword_prior_balanced']:.3f}"
        f" (chance {statistics['chance']:.3f})"
    )
    return 0
