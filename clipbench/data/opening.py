"""From what the user names to a source of rows: the hub, another repository, or a path and its layout."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

from clipbench.data import tables
from clipbench.data.columns import Columns
from clipbench.data.dataset import Dataset, Source
from clipbench.data.hub_errors import advice
from clipbench.errors import DataError
from clipbench.utils.text import pluralize

LAYOUTS = ("coco", "flickr30k", "sbu", "fashion200k")
_NAMES_SHOWN = 12


def open_source(
    dataset: Dataset,
    location: str | None = None,
    *,
    streaming: bool = False,
    images: tuple[str, ...] = (),
    captions: tuple[str, ...] = (),
    fields: tuple[str, ...] = (),
) -> Source:
    """Open a dataset.

    Args:
        dataset: What to open.
        location: None for its home on the hub, or for rows that are generated; another repository as
            ``hub:owner/name[@revision][:split]``; otherwise a local path, whose layout is found out: the dataset's
            raw layouts, then plain tables.
        streaming: Read hub or parquet data as it comes and store nothing. Images of a streamed row are held
            in memory until the row is let go. Other layouts ignore it: they store nothing anyway.
        images: Image columns, where they are not those that the dataset declares.
        captions: Caption columns, likewise.
        fields: Columns that rows are to be chosen by, likewise.

    Raises:
        DataError: Nothing there, nothing that is known, or it cannot be read; says what to do.
    """
    named = Columns(images, captions, fields)
    if location is None and dataset.generator is not None:
        module, _, function = dataset.generator.partition(":")
        generated: Source = getattr(import_module(module), function)()
        return generated
    if location is None or location.startswith("hub:"):
        from clipbench.data.hub import open_hub, parse_address

        table = dataset.hub if location is None else parse_address(location.removeprefix("hub:"), dataset.hub)
        if table is None or not table.repo:
            raise DataError(f"dataset {dataset.name} has no home on the hub{advice(dataset)}")
        if location is None:
            table = replace(table, exact=True)  # its columns are known: another one would be another dataset
        return open_hub(dataset, table, streaming=streaming, named=named)
    path = Path(location).expanduser()
    if not path.exists():
        raise DataError(f"dataset {dataset.name}: no such file or folder: {location}{advice(dataset)}")
    return _open_path(path, dataset, location, streaming=streaming, named=named)


def _open_path(path: Path, dataset: Dataset, location: str, *, streaming: bool, named: Columns) -> Source:
    layouts = _layouts(dataset)
    for name in layouts:
        layout = import_module(f"clipbench.data.layouts.{name}")
        found = layout.recognise(path)
        if found is not None:
            source: Source = layout.open_layout(found, location)
            return source
    try:
        table = tables.open_tables(path, dataset, location, streaming=streaming, named=named)
    except OSError as error:
        raise DataError(f"dataset {dataset.name}: cannot read {location}: {error.strerror}") from error
    if table is not None:
        return table
    looked_for = [f"{name}: {import_module(f'clipbench.data.layouts.{name}').EXPECTS}" for name in layouts]
    raise DataError(
        f"dataset {dataset.name}: {location} has no layout that is known: looked for"
        f" {'; '.join((*looked_for, *tables.EXPECTS))}; found {_contents(path)}"
    )


def _layouts(dataset: Dataset) -> tuple[str, ...]:
    """The dataset's own raw layouts; for a user's dataset that names none and has no hub, any of them."""
    unknown = [name for name in dataset.layouts if name not in LAYOUTS]
    if unknown:
        raise DataError(f"dataset {dataset.name}: no layout {unknown[0]!r}; layouts are: {', '.join(LAYOUTS)}")
    return dataset.layouts or (() if dataset.hub and dataset.hub.repo else LAYOUTS)


def _contents(path: Path) -> str:
    if path.is_file():
        return f"a file {path.name} of {pluralize(path.stat().st_size, 'byte')}"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more}" if names else "an empty folder"
