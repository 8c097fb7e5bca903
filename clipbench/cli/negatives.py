"""`clipbench negatives`: captions with their keyword replaced, as a filter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import click

from clipbench.cli.command import Command
from clipbench.cli.console import say_json
from clipbench.errors import DataError


@click.command("negatives", cls=Command)
@click.option("--concept", "-c", required=True, help="object, color, location, size, or a YAML file.")
@click.argument("captions", type=click.File("r", encoding="utf-8"), default="-")
def command(concept: str, captions: TextIO) -> None:
    """Read one caption per line, and write one JSON line for each that contains a keyword.

    \b
    clipbench negatives --concept color < captions.txt
    {"line": 1, "caption": "A white cat.", "keyword": "white", "start": 2, "variants": ["A blue cat.", …]}
    """
    from clipbench.concepts import load_concept

    chosen = load_concept(concept)
    for number, line in _lines(captions):
        variants = chosen.variants(line)
        if variants is not None:
            found = {
                "line": number,
                "caption": variants.caption,
                "keyword": variants.keyword,
                "start": variants.start,
                "variants": variants[1:],
            }
            if not say_json(found, indent=None):
                return


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
