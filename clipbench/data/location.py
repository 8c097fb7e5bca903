"""Locations with column names, an image folder or a split: ``LOCATION?images=…&captions=…&split=…``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import parse_qsl

from clipbench.data.dataset import Dataset, HubTable
from clipbench.data.shards import names_tars
from clipbench.errors import ConfigError
from clipbench.utils.files import local_path

_COLUMNS = ("images", "captions", "false_captions", "fields", "split")


def parse_location(dataset: Dataset, location: str | None) -> tuple[Dataset, str | None]:
    """Split column names, the folder of image files, or a split off a location.

    ``images`` names columns or a folder. It is a folder if it contains a path separator, or if the dataset has a raw
    layout, which has no columns, and such a folder exists. ``split`` names the part to use of local data with splits.

    Examples:
        >>> books = Dataset("books", HubTable("me/books", "main", "train", ("image",), ("title",)))
        >>> changed, where = parse_location(books, "scans/table.csv?captions=alt_text")
        >>> where, changed.hub.captions
        ('scans/table.csv', ('alt_text',))

    Examples:
            >>> parse_location(books, "table.csv?images=/")[0].image_folder
            '/'

    Args:
        dataset: The dataset as declared.
        location: A path or hub address, possibly with column names; or None.

    Returns:
        The dataset with the columns named in the location, and the location without them.

    Raises:
        ConfigError: The query names something other than columns.
    """
    if location is None or "?" not in location:
        return dataset, location
    place, _, query = location.rpartition("?")
    if names_tars(location) and query.partition("=")[0] not in _COLUMNS:
        return dataset, location  # a signature of a URL, or a pattern
    named = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))  # a plus is no space in a path
    if not named or not set(named) <= set(_COLUMNS):
        allowed = ", ".join(f"{name}=" for name in _COLUMNS)
        raise ConfigError(f"`data` {dataset.name}={location}: only {allowed} may follow '?'")
    if _is_folder(named.get("images", ""), bool(dataset.layouts) and not place.startswith("hub:")):
        folder = local_path(named.pop("images"))
        if not folder.is_dir():
            raise ConfigError(f"`data` {dataset.name}={location}: no such folder of images: {folder}")
        dataset = dataclasses.replace(dataset, image_folder=str(folder))
        if not named:
            return dataset, place
    table = dataset.hub or HubTable("", "main", "", (), ())
    if "split" in named:
        table = dataclasses.replace(table, split=named.pop("split"))
        dataset = dataclasses.replace(dataset, hub=table)
        if not named:
            return dataset, place
    columns = {key: tuple(part for part in value.split(",") if part) for key, value in named.items()}
    table = dataclasses.replace(
        table,
        images=columns.get("images", table.images),
        captions=columns.get("captions", table.captions),
        false_captions=columns.get("false_captions", table.false_captions),
        fields=columns.get("fields", table.fields),
        exact=True,
    )
    return dataclasses.replace(dataset, hub=table), place


def _is_folder(images: str, may_be_bare: bool) -> bool:
    return any(sign in images for sign in "/\\") or (may_be_bare and images != "" and Path(images).is_dir())
