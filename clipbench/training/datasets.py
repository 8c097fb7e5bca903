"""The datasets that can be trained on: on the hub, in a local copy, or generated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from clipbench.concepts import Concept, load_concept
from clipbench.data import Dataset, HubTable, Source, TrainingSplit, open_source
from clipbench.data.location import parse_location
from clipbench.data.shards import names_tars
from clipbench.errors import ConfigError, DataError
from clipbench.task_types.registry import known_tasks
from clipbench.utils.files import local_path
from clipbench.utils.registry import close_matches
from clipbench.utils.urls import is_url

SCENES: Final = 12_000  # pictures of the synthetic scenes' train split, unless another number is given
NO_PLACES: Final[Mapping[str, str]] = MappingProxyType({})
_MOST_DIGITS: Final = 18
_TRAIN_CAPTIONS: Final = ("annotations/captions_train2017.json", "captions_train2017.json")


def training_splits() -> dict[str, tuple[Dataset, TrainingSplit]]:
    """The datasets that declare a training split, by name, each with that split."""
    return {task.dataset.name: (task.dataset, task.dataset.train) for task in known_tasks() if task.dataset.train}


def open_training_data(
    train_data: str,
    data: Mapping[str, str] = NO_PLACES,
    columns: tuple[str, ...] = (),
    further_images: tuple[str, ...] = (),
) -> Source:
    """Open the training data.

    Args:
        train_data: The name of a data set; ``scenes=40000``, where the number is of pictures to draw; or a file,
            folder or ``hub:owner/name[@revision][:split]``.
        data: Where named data sets lie. A folder of COCO means its train2017 captions if it has them.
        columns: Further columns that become fields of the rows.
        further_images: Further image columns, whose images come last in a row.

    Raises:
        ConfigError: No such data set or file, or an invalid location.
        DataError: It cannot be opened.
    """
    name, sign, pictures = train_data.partition("=")
    place = data.get(name)
    if name == "scenes" and (pictures.isdecimal() if sign else place is None):
        from clipbench.scenes.source import open_pictures

        if len(pictures) > _MOST_DIGITS:
            raise ConfigError(f"train_data scenes={pictures}: that many pictures cannot be drawn")
        return open_pictures("train", int(pictures) if sign else SCENES)
    splits = training_splits()
    if name not in splits:
        return _open_file(train_data, splits, columns, further_images)
    if sign:
        raise ConfigError(f"train_data {train_data}: give the name {name} only, and {train_data} in data")
    declared, split = splits[name]
    hub = split.hub or (HubTable("", "main", "train", (), ()) if columns or further_images else None)
    hub = hub and replace(hub, required=columns, further_images=further_images)
    dataset = replace(declared, hub=hub, generator=None, instructions=split.instructions)
    dataset, location = parse_location(dataset, place)
    if location is None and split.hub is None:
        raise DataError(
            f"train_data {name}: it is not hosted on the Hugging Face Hub: give {name}=PLACE in data"
            f" ({dataset.instructions})"
        )
    if location is not None and not location.startswith("hub:") and "coco" in dataset.layouts:
        location = _train_captions(location)
    return open_source(dataset, location)


def _open_file(
    train_data: str, known: Iterable[str], columns: tuple[str, ...], further_images: tuple[str, ...]
) -> Source:
    bare = train_data.partition("?")[0]
    if not names_tars(train_data) and not local_path(bare).exists() and not bare.startswith("hub:"):
        near = close_matches(train_data, known)
        names = ", ".join(known)
        raise ConfigError(f"train_data {train_data}: no such file or data set{near}; data sets are {names}")
    train = HubTable("", "main", "train", (), (), required=columns, further_images=further_images)
    return open_source(*parse_location(Dataset(Path(bare).name, train), train_data))


def training_concepts(train_data: str, names: Sequence[str]) -> tuple[Concept, ...]:
    """Load concepts, without the keywords that are not looked for in this training data; ``none`` is none.

    Examples:
        >>> (size,) = training_concepts("coco", ["size"])
        >>> size.matches("a tiny dog"), size.matches("a huge dog")
        (False, True)

    Raises:
        UnknownName, ConfigError: There is no such concept, or its file is invalid.
    """
    _, split = training_splits().get(dataset_name(train_data), (None, TrainingSplit()))
    concepts = (load_concept(name) for name in names if name != "none")
    return tuple(concept.without_keywords(split.skip_keywords.get(concept.name, ())) for concept in concepts)


def dataset_name(train_data: str) -> str:
    """The name by which ``data`` says where the training data lies; empty for pictures that are drawn.

    Examples:
        >>> dataset_name("coco"), dataset_name("scenes=40000")
        ('coco', '')
    """
    return "" if "=" in train_data else train_data


def is_on_hub(train_data: str, data: Mapping[str, str] = NO_PLACES) -> bool:
    """Whether opening the training data may download it.

    Examples:
        >>> is_on_hub("coco"), is_on_hub("coco", {"coco": "FOLDER"}), is_on_hub("scenes"), is_on_hub("hub:me/mine:x")
        (True, False, False, True)
    """
    place = data.get(dataset_name(train_data))
    if (place or train_data).startswith("hub:") or is_url(place or train_data):
        return True
    _, split = training_splits().get(train_data, (None, TrainingSplit()))
    return not place and split.hub is not None


def _train_captions(location: str) -> str:
    folder = local_path(location)
    return next((str(folder / name) for name in _TRAIN_CAPTIONS if (folder / name).is_file()), location)
