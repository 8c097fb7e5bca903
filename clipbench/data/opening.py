"""Opens a dataset by its location: its own hub repository, another one, or a local path with a known layout."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from clipbench.data import tables
from clipbench.data.dataset import Dataset, Source
from clipbench.data.hub_errors import advice
from clipbench.data.hub_splits import known_split
from clipbench.data.layouts import CAPTION_LAYOUTS, LAYOUTS
from clipbench.data.shards import names_tars, tars_of_folder
from clipbench.data.tars import open_tars
from clipbench.errors import DataError
from clipbench.utils.files import local_path, require_regular
from clipbench.utils.text import pluralize
from clipbench.utils.urls import is_url, without_secrets

_NAMES_SHOWN = 12
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")


def open_source(dataset: Dataset, location: str | None = None, *, streaming: bool = False) -> Source:
    """Open a dataset.

    Args:
        dataset: What to open.
        location: None for the dataset's hub repository, or for generated rows; another repository as
            ``hub:owner/name[@revision][:split]``; tars (see ``clipbench.data.shards.find_shards``); otherwise a local
            path. The layout of a path is detected: the dataset's raw layouts are tried first, then tars, then the
            generic tables.
        streaming: Stream hub or parquet data without storing it. The images of a streamed row stay in memory
            until the row is released. Other layouts are never copied, so the option has no effect on them.

    Raises:
        DataError: The location is empty, has no known layout, or cannot be read; the message says what to do.
    """
    if location is None and dataset.generator is not None:
        module, _, function = dataset.generator.partition(":")
        generated: Source = getattr(import_module(module), function)()
        return generated
    if location is None or location.startswith("hub:"):
        from clipbench.data.hub import open_hub, parse_address

        table = dataset.hub if location is None else parse_address(location.removeprefix("hub:"), dataset.hub)
        if table is None or not table.repo:
            raise DataError(f"dataset {dataset.name} is not hosted on the Hugging Face Hub{advice(dataset)}")
        if location is None:
            table = replace(table, exact=True)  # its columns are known; guessing others would read different data
        return open_hub(dataset, table, streaming=streaming)
    if names_tars(location) and "webdataset" not in dataset.layouts:  # those of labeled images are read as a layout
        return open_tars(location, dataset)
    if is_url(location):
        raise DataError(
            f"dataset {dataset.name}: {without_secrets(location)}: download it; tars of labeled images are"
            " read from the hub or a local folder"
        )
    path = local_path(location)
    try:
        if not path.is_dir():
            require_regular(path)
    except FileNotFoundError:
        raise DataError(f"dataset {dataset.name}: no such file or folder: {location}{advice(dataset)}") from None
    except OSError as error:
        raise DataError(f"dataset {dataset.name}: cannot read {location}: {error.strerror}") from error
    return _open_path(path, dataset, location, streaming=streaming)


def _open_path(path: Path, dataset: Dataset, location: str, *, streaming: bool) -> Source:
    layouts = _layouts(dataset)
    for name in layouts:
        layout = import_module(f"clipbench.data.layouts.{name}")
        found = layout.recognize(path)
        if found is not None:
            return _open_layout(layout, found, dataset, location)
    if path.is_dir() and "webdataset" not in dataset.layouts and (found := _folder_of_tars(path, dataset)) is not None:
        return open_tars(str(found[0]), dataset, note=found[1])
    try:
        table = tables.open_tables(path, dataset, location, streaming=streaming)
    except OSError as error:
        raise DataError(f"dataset {dataset.name}: cannot read {location}: {error.strerror}") from error
    if table is not None:
        return table
    looked_for = [f"{name}: {import_module(f'clipbench.data.layouts.{name}').EXPECTS}" for name in layouts]
    raise DataError(
        f"dataset {dataset.name}: {location} has no known layout: looked for"
        f" {'; '.join((*looked_for, *tables.EXPECTS))}; found {_contents(path)}{_unpack_advice(path)}"
    )


def _folder_of_tars(path: Path, dataset: Dataset) -> tuple[Path, str] | None:
    """The folder of tars at a path, which may be that of a split; and a note on other splits."""
    if tars_of_folder(path):
        # A tar beside a table is what its images were unpacked from; img2dataset's tables list URLs.
        table = any((path / f"metadata{suffix}").is_file() for suffix in (".csv", ".jsonl", ".parquet"))
        return None if table or any(path.glob("*.[ct]sv")) else (path, "")
    splits = [folder.name for folder in sorted(path.iterdir()) if folder.is_dir() and tars_of_folder(folder)]
    if not splits:
        return None
    wanted = dataset.hub.split if dataset.hub and dataset.hub.split else "test"
    split = known_split(wanted, splits, str(path), or_only=not (dataset.hub and dataset.hub.repo))
    others = ", ".join(name for name in splits if name != split)
    return path / split, others and f"split {split}; not used: {others} (name one with NAME=PATH?split=)"


def _open_layout(layout: ModuleType, found: object, dataset: Dataset, location: str) -> Source:
    if dataset.layouts and dataset.hub and dataset.hub.exact:
        raise DataError(
            f"dataset {dataset.name}: {location} has no columns to name; `images` may name the folder of its images,"
            " if there is one"
        )
    options: dict[str, object] = {} if dataset.image_folder is None else {"images": Path(dataset.image_folder)}
    if getattr(layout, "HAS_SPLITS", False) and dataset.hub:
        options["split"] = dataset.hub.split
    source: Source = layout.open_layout(found, location, **options)
    return source


def _layouts(dataset: Dataset) -> tuple[str, ...]:
    """The dataset's own raw layouts; for a user's dataset that names none and has no hub, any of them."""
    unknown = [name for name in dataset.layouts if name not in LAYOUTS]
    if unknown:
        raise DataError(f"dataset {dataset.name}: no layout {unknown[0]!r}; layouts are: {', '.join(LAYOUTS)}")
    return dataset.layouts or (() if dataset.hub and dataset.hub.repo else CAPTION_LAYOUTS)


def _unpack_advice(path: Path) -> str:
    files = [path] if path.is_file() else [entry for entry in path.iterdir() if entry.is_file()]
    packed = [file.name for file in files if file.name.lower().endswith(_ARCHIVES)]
    return f"; unpack {packed[0]} first" if packed else ""


def _contents(path: Path) -> str:
    if path.is_file():
        return f"a file {path.name} of {pluralize(path.stat().st_size, 'byte')}"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more}" if names else "an empty folder"
