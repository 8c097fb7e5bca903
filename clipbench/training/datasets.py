"""The data sets that can be trained on, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from clipbench.concepts import Concept, load_concept
from clipbench.data import Dataset, HubTable, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import ConfigError, DataError
from clipbench.utils.registry import close_matches

TRAINING_DATASETS: Final = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "coco",
            HubTable("AKCIT/coco2017-captioning", "main", "train", ("image",), ("captions",)),
            layouts=("coco",),
            license="Captions CC BY 4.0; photographs under their own Flickr licences.",
            homepage="https://cocodataset.org",
            instructions="unpack train2017.zip and annotations_trainval2017.zip side by side",
        ),
        Dataset("flickr30k", None, layouts=("flickr30k",), instructions="name the folder with flickr30k-images"),
        Dataset("sbu", None, layouts=("sbu",), instructions="name the folder of a download"),
        Dataset("fashion200k", None, layouts=("fashion200k",), instructions="name the folder with labels/"),
        Dataset("scenes", None, layouts=("coco",), license="Made by clipbench; no rights reserved."),
    )
}
# COCO's tables do not look for `tiny`, in training no more than in the ranking task: 60,626 captions of train2017.
_EXCLUDED_SOURCES: Final = {"coco": {"size": ("tiny",)}}
SCENES: Final = 12_000  # pictures of the synthetic scenes' train split, unless another number is given
NO_PLACES: Final[Mapping[str, str]] = MappingProxyType({})
_TRAIN_CAPTIONS: Final = ("annotations/captions_train2017.json", "captions_train2017.json")


def open_training_data(train_data: str, data: Mapping[str, str] = NO_PLACES) -> Source:
    """Open the training data.

    Args:
        train_data: The name of a data set; ``scenes=40000``, where the number is of pictures to draw; or a file,
            folder or ``hub:owner/name[@revision][:split]``.
        data: Where named data sets lie. A folder of COCO means its train2017 captions if it has them.

    Raises:
        ConfigError: No such data set or file, or an invalid location.
        DataError: It cannot be opened.
    """
    name, sign, pictures = train_data.partition("=")
    place = data.get(name)
    if name == "scenes" and (pictures.isdecimal() if sign else place is None):
        from clipbench.scenes.source import open_pictures

        return open_pictures("train", int(pictures) if sign else SCENES)
    if name not in TRAINING_DATASETS:
        return _open_file(train_data)
    if sign:
        raise ConfigError(f"train_data {train_data}: give the name {name} only, and {train_data} in data")
    dataset, location = parse_location(TRAINING_DATASETS[name], place)
    if location is None and dataset.hub is None:
        raise DataError(
            f"train_data {name}: it is not hosted on the Hugging Face Hub: give {name}=PLACE in data"
            f" ({dataset.instructions})"
        )
    if location is not None and not location.startswith("hub:") and "coco" in dataset.layouts:
        location = _train_captions(location)
    return open_source(dataset, location)


def _open_file(train_data: str) -> Source:
    bare = train_data.partition("?")[0]
    if not Path(bare).expanduser().exists() and not bare.startswith("hub:"):
        near = close_matches(train_data, TRAINING_DATASETS)
        names = ", ".join(TRAINING_DATASETS)
        raise ConfigError(f"train_data {train_data}: no such file or data set{near}; data sets are {names}")
    return open_source(*parse_location(Dataset(Path(bare).name, None), train_data))


def training_concepts(train_data: str, names: Sequence[str]) -> tuple[Concept, ...]:
    """Load concepts, without the keywords that are not looked for in this training data.

    >>> (size,) = training_concepts("coco", ["size"])
    >>> size.matches("a tiny dog"), size.matches("a huge dog")
    (False, True)

    Raises:
        UnknownName, ConfigError: There is no such concept, or its file is invalid.
    """
    excluded = _EXCLUDED_SOURCES.get(dataset_name(train_data), {})
    concepts = (load_concept(name) for name in names)
    return tuple(concept.without_keywords(excluded.get(concept.name, ())) for concept in concepts)


def dataset_name(train_data: str) -> str:
    """The name by which ``data`` says where the training data lies; empty for pictures that are drawn.

    >>> dataset_name("coco"), dataset_name("scenes=40000")
    ('coco', '')
    """
    return "" if "=" in train_data else train_data


def is_on_hub(train_data: str, data: Mapping[str, str] = NO_PLACES) -> bool:
    """Whether opening the training data may download it.

    >>> is_on_hub("coco"), is_on_hub("coco", {"coco": "FOLDER"}), is_on_hub("scenes"), is_on_hub("hub:me/mine:train")
    (True, False, False, True)
    """
    place = data.get(dataset_name(train_data))
    if (place or train_data).startswith("hub:"):
        return True
    return not place and train_data in TRAINING_DATASETS and TRAINING_DATASETS[train_data].hub is not None


def _train_captions(location: str) -> str:
    folder = Path(location).expanduser()
    return next((str(folder / name) for name in _TRAIN_CAPTIONS if (folder / name).is_file()), location)
