"""VALSE as published: one JSON file per piece, and images of COCO, Visual7W, VisDial, SWiG and FOIL.

Source: Parcalabescu et al. 2022, https://github.com/Heidelberg-NLP/VALSE. Rows count as valid if at least two of three
annotators chose the caption.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbench.data.annotations import Annotation, Entry, entries, open_annotations
from clipbench.data.records import RecordSource
from clipbench.errors import DataError

EXPECTS = "existence.json, … foil-it.json + the images beside them, in any folders (or ?images=FOLDER that holds them)"
_PIECES = (
    "existence", "plurals", "counting-hard", "counting-small-quant", "counting-adversarial", "relations",
    "action-replacement", "actant-swap", "coreference-standard", "coreference-hard", "foil-it",
)  # fmt: skip


def recognize(path: Path) -> dict[str, Path] | None:
    """Piece to file, for a folder with the files or with ``data/``, or for one of the files."""
    if path.is_file():
        return {path.stem: path} if path.suffix == ".json" and path.stem in _PIECES else None
    for folder in (path, path / "data"):
        if found := {piece: folder / f"{piece}.json" for piece in _PIECES if (folder / f"{piece}.json").is_file()}:
            return found
    return None


def open_layout(files: dict[str, Path], location: str, images: Path | None = None) -> RecordSource:
    """Open the pieces; the field ``valid`` says whether annotators accepted a row."""
    folder = next(iter(files.values())).parent
    photos = images or (folder.parent if folder.name == "data" else folder)
    return open_annotations("valse", location, files, _read, photos, fields=("valid",))


def _read(part: str, path: Path) -> Iterator[Annotation]:
    for entry in entries(path):
        captions = entry.texts("caption")[:1]  # a list in some pieces
        fields = {"valid": _votes(entry) >= 2, "dataset": entry.values.get("dataset", "")}
        yield Annotation(entry.key, (entry.text("image_file"),), captions, entry.texts("foil")[:1], fields)


def _votes(entry: Entry) -> int:
    votes = entry.values.get("mturk")
    count = votes.get("caption") if isinstance(votes, dict) else None
    if not isinstance(count, int):
        raise DataError(f"{entry.where}: no votes for the caption under 'mturk': {str(votes)[:60]!r}")
    return count
