"""Contact sheets of a study: samples that one kind of model has right and another one wrong, and the other way."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from clipbench.analysis.contact_sheet import draw_sheet, make_contact_sheet
from clipbench.analysis.contact_sheet.sheet import Which
from clipbench.errors import ClipbenchError
from clipbench.reproduce.kinds import BASE, all_kinds
from clipbench.reproduce.lookup import CellKey, Cells, Value
from clipbench.reproduce.table_schema import ContactSheets
from clipbench.utils.files import atomic_write


def draw_sheets(cells: Cells, sheets: ContactSheets, problems: list[str]) -> Iterator[Path]:
    """Draw the samples that turned right, and those that turned wrong, of the first seed that has both models.

    Args:
        cells: The study's numbers.
        sheets: What is compared.
        problems: Gets a line for each sheet that cannot be drawn.

    Yields:
        The files, in ``sheets/`` of the study's folder.
    """
    study = cells.study
    kinds = {kind.label: kind for kind in (BASE, *all_kinds(study))}
    for concept, task in sheets.tasks.items():
        found: list[Path] = []
        for label in (sheets.model, sheets.against):
            key = CellKey(study.base_models[0], task, None, concept, kinds[label], study.training.epochs)
            values: tuple[Value, ...] = cells.values(key)
            found += [cells.folder.path / value.file for value in values if value.seed == min(study.training.seeds)]
        if len(found) == 2:
            for which in ("right", "wrong"):
                try:
                    yield from _draw(cells, found[0], found[1], task, which, sheets.most)
                except ClipbenchError as error:  # photographs that are gone take nothing from the numbers
                    problems.append(f"contact sheet of {task}: {error}")


def _draw(cells: Cells, model: Path, against: Path, task: str, which: Which, most: int) -> Iterator[Path]:
    include = tuple(cells.study.include_path)
    sheet = make_contact_sheet(model, task, which, most, against=against, include_path=include)
    if sheet.cards:
        picture = io.BytesIO()
        draw_sheet(sheet).save(picture, "PNG")
        path = cells.folder.path / "sheets" / f"{task}-{which}.png"
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, picture.getvalue())
        yield path
