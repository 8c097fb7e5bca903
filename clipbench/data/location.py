"""Locations with column names: ``LOCATION?images=…&captions=…``."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qsl

from clipbench.data.dataset import Dataset, HubTable
from clipbench.errors import ConfigError

_COLUMNS = ("images", "captions", "fields")


def parse_location(dataset: Dataset, location: str | None) -> tuple[Dataset, str | None]:
    """Split column names off a location.

    Examples:
        >>> books = Dataset("books", HubTable("me/books", "main", "train", ("image",), ("title",)))
        >>> changed, where = parse_location(books, "scans/table.csv?captions=alt_text")
        >>> where, changed.hub.captions
        ('scans/table.csv', ('alt_text',))

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
    named = dict(parse_qsl(query, keep_blank_values=True))
    if not named or not set(named) <= set(_COLUMNS):
        raise ConfigError(f"`data` {dataset.name}={location}: only images=, captions= and fields= may follow '?'")
    columns = {key: tuple(part for part in value.split(",") if part) for key, value in named.items()}
    table = dataset.hub or HubTable("", "main", "train", (), ())
    table = dataclasses.replace(
        table,
        images=columns.get("images", table.images),
        captions=columns.get("captions", table.captions),
        fields=columns.get("fields", table.fields),
        exact=True,
    )
    return dataclasses.replace(dataset, hub=table), place
