"""``clipbench finetune --data``: the data sets that can be trained on, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
SCENES: Final = 12_000  # pictures of the embedded world's train split, where no other number is named
_TRAIN_CAPTIONS: Final = ("annotations/captions_train2017.json", "captions_train2017.json")


def open_training_data(written: str, *, streaming: bool = False) -> Source:
    """Open what ``--data`` names: ``coco``, ``coco=PLACE``, ``scenes``, ``scenes=40000``, or a file or folder.

    A folder of COCO means its train2017 captions where it has them.

    Raises:
        ConfigError: No such data set, and no such file either; or a location that makes no sense.
        DataError: It cannot be opened.
    """
    name, sign, place = written.partition("=")
    if name == "scenes" and (not sign or place.isdecimal()):
        from clipbench.scenes.source import open_pictures

        return open_pictures("train", int(place) if sign else SCENES)
    if name not in TRAINING_DATASETS or "/" in name:
        bare = written.partition("?")[0]
        if not Path(bare).expanduser().exists() and not bare.startswith("hub:"):
            near = close_matches(name, TRAINING_DATASETS)
            names = ", ".join(TRAINING_DATASETS)
            raise ConfigError(f"--data {written}: no such file, and no data set of that name{near}; there are {names}")
        dataset, location = parse_location(Dataset(Path(bare).name, None), written)
        return open_source(dataset, location, streaming=streaming)
    dataset, location = parse_location(TRAINING_DATASETS[name], place or None)
    if location is None and dataset.hub is None:
        raise DataError(f"--data {name}: it has no home on the hub; write {name}=PLACE ({dataset.instructions})")
    if location is not None and not location.startswith("hub:") and "coco" in dataset.layouts:
        location = _train_captions(location)
    return open_source(dataset, location, streaming=streaming)


def training_concepts(written: str, names: Sequence[str]) -> tuple[Concept, ...]:
    """Concepts without the keywords that are not looked for in what ``--data`` names.

    >>> (size,) = training_concepts("coco=COCO_FOLDER", ["size"])
    >>> size.matches("a tiny dog"), size.matches("a huge dog")
    (False, True)

    Raises:
        UnknownName, ConfigError: A concept is not there, or its file makes no sense.
    """
    excluded = _EXCLUDED_SOURCES.get(written.partition("=")[0], {})
    concepts = (load_concept(name) for name in names)
    return tuple(concept.without_keywords(excluded.get(concept.name, ())) for concept in concepts)


def is_on_hub(written: str) -> bool:
    """Whether opening what ``--data`` names may download it.

    >>> is_on_hub("coco"), is_on_hub("coco=COCO_FOLDER"), is_on_hub("scenes"), is_on_hub("hub:me/mine:train")
    (True, False, False, True)
    """
    name, _, place = written.partition("=")
    if (place or written).startswith("hub:"):
        return True
    return not place and name in TRAINING_DATASETS and TRAINING_DATASETS[name].hub is not None


def _train_captions(location: str) -> str:
    folder = Path(location).expanduser()
    return next((str(folder / name) for name in _TRAIN_CAPTIONS if (folder / name).is_file()), location)
