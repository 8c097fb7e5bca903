"""`clipbench negatives`: captions with their keyword exchanged, as a filter."""

from __future__ import annotations

import json
from typing import TextIO

import click


@click.command("negatives")
@click.option("--concept", "-c", required=True, help="object, color, location, size, or a YAML file.")
@click.argument("captions", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
def command(concept: str, captions: TextIO) -> None:
    """Read a caption a line, and write one JSON line for each that holds a keyword.

    \b
    clipbench negatives --concept color < captions.txt
    {"line": 1, "caption": "A white cat.", "keyword": "white", "start": 2, "variants": ["A blue cat.", …]}
    """
    from clipbench.concepts import load_concept

    chosen = load_concept(concept)
    for number, line in enumerate(captions, 1):
        variants = chosen.variants(line.rstrip("\r\n"))
        if variants is not None:
            found = {
                "line": number,
                "caption": variants.caption,
                "keyword": variants.keyword,
                "start": variants.start,
                "variants": variants[1:],
            }
            click.echo(json.dumps(found, ensure_ascii=False))
