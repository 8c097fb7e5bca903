"""COCO's own outlines of objects: ``instances_val2017.json`` beside the captions.

Format: https://cocodataset.org/#format-data ("Object Detection"). An outline is a list of polygons, or a run-length
encoding by columns, with its counts as numbers or packed into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipbench.annotate.masks import Mask
from clipbench.annotate.naming import first_named
from clipbench.data.text_files import read_json
from clipbench.errors import DataError
from clipbench.types import ImageRef

# What captions, and the paper's concepts, call COCO's categories.
_SYNONYMS: Final[dict[str, str]] = {
    "person": "man,men,woman,women,boy,girl,child,children,kid,people,guy,lady,baby,rider,player,skier,surfer,"
    "snowboarder,skateboarder,batter,pitcher,gentleman,toddler,officer",
    "bicycle": "bike",
    "motorcycle": "motorbike,motor cycle,scooter,moped",
    "airplane": "aeroplane,plane,jet,air plane,airliner,aircraft",
    "couch": "sofa,loveseat",
    "tv": "tv monitor,television,monitor,computer screen",
    "potted plant": "plant,house plant",
    "dining table": "table,desk",
    "cow": "bull,calf,cattle",
    "dog": "puppy,puppies",
    "cat": "kitten,kitty",
    "sheep": "lamb,ram",
    "horse": "pony,ponies",
    "bird": "seagull,gull,duck,goose,parrot,pigeon",
    "bear": "polar bear,grizzly",
    "stop sign": "stopsign",
    "cell phone": "phone,cellphone,mobile phone,smartphone",
    "donut": "doughnut",
    "refrigerator": "fridge",
    "hair drier": "hair dryer,hairdryer",
    "skis": "ski",
    "remote": "remote control,controller",
    "mouse": "computer mouse,mice",
    "handbag": "purse,bag",
    "suitcase": "luggage",
    "tie": "necktie",
    "frisbee": "disc",
    "sports ball": "ball,baseball,tennis ball,soccer ball",
    "traffic light": "stoplight,street light,stop light",
    "fire hydrant": "hydrant",
    "boat": "ship,canoe,sailboat,kayak",
    "car": "taxi,cab,suv,sedan",
    "wine glass": "glass,glasses",
    "cup": "mug",
    "knife": "knives",
    "laptop": "laptop computer,computer",
    "microwave": "microwave oven",
    "oven": "stove",
    "teddy bear": "teddy,stuffed bear,stuffed animal",
    "truck": "pickup,lorry",
    "bus": "buses",
}


@dataclass(frozen=True, slots=True)
class _Object:
    category: str
    outline: Any
    area: float
    crowd: bool


class OutlineSegmenter:
    """The outline that people have drawn around what the prompt names.

    A singular names the largest object of its category, a plural all of them. The file is read by the first `segment`.

    Args:
        path: ``instances_*.json``.
    """

    name = "outlines"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._objects: dict[str, list[_Object]] | None = None  # by the image's file name
        self._words: dict[str, str] = {}

    def details(self) -> dict[str, object]:
        return {"segmenter": self.name, "file": self._path.name}

    def segment(self, image: Image.Image, prompt: str, source: ImageRef | None = None) -> Mask:
        if self._objects is None:
            self._objects, categories = _read(self._path)
            self._words = _words(categories)
        key = "this picture" if source is None else source.key
        found = self._objects.get(PurePosixPath(key).name)
        if found is None:
            raise DataError(
                f"{self._path.name} has no outlines of {key[:100]}: use a box, the brush, or another segmenter"
            )
        shown = sorted({one.category for one in found})
        named = first_named(prompt, self._words)
        if named is None or named.meaning not in shown:
            missing = f"no {named.meaning}" if named else f"nothing that the prompt {prompt[:60]!r} names"
            raise DataError(f"{missing} has an outline in {key[:100]}, which has {', '.join(shown) or 'none'}")
        fitting = [one for one in found if one.category == named.meaning]
        if not named.plural:
            single = [one for one in fitting if not one.crowd] or fitting
            fitting = [max(single, key=lambda one: one.area)]
        mask = np.zeros((image.height, image.width), bool)
        for one in fitting:
            mask |= decode(one.outline, image.size)
        if not mask.any():
            raise DataError(f"the outline of {named.meaning} in {key[:100]} is empty: use a box or the brush")
        return mask


def _words(categories: list[str]) -> dict[str, str]:
    words = {name: name for name in categories}
    for name, others in _SYNONYMS.items():
        if name in words:
            for word in others.split(","):
                words.setdefault(word, name)
    return words


def _read(path: Path) -> tuple[dict[str, list[_Object]], list[str]]:
    content = read_json(path)
    entry: Any = None
    try:
        categories = {}
        for entry in content["categories"]:
            categories[entry["id"]] = str(entry["name"])
        files, objects = {}, {}
        for entry in content["images"]:
            files[entry["id"]] = PurePosixPath(entry["file_name"]).name
            objects[files[entry["id"]]] = list[_Object]()
        for entry in content["annotations"]:
            one = _Object(
                categories[entry["category_id"]],
                entry["segmentation"],
                float(entry.get("area", 0)),
                bool(entry.get("iscrowd", 0)),
            )
            objects[files[entry["image_id"]]].append(one)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not COCO's outlines: expected images, categories, and annotations with image_id, category_id and "
            f"segmentation; {type(error).__name__}: {error} at {str(entry)[:80]}"
        ) from None
    return objects, list(categories.values())


def decode(outline: Any, size: tuple[int, int]) -> Mask:
    """The mask, (H, W), of an outline.

    Args:
        outline: A list of polygons ``[x0, y0, x1, y1, …]``, or ``{"size": [H, W], "counts": numbers or text}``.
        size: The picture's (width, height).

    Raises:
        DataError: It has another form or another size.
    """
    try:
        if isinstance(outline, dict):
            return _decode_runs(outline, size)
        mask = np.zeros((size[1], size[0]), bool)
        for polygon in outline:
            mask |= _filled(np.asarray(polygon, float).reshape(-1, 2), size)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataError(f"an outline cannot be read ({type(error).__name__}: {error}): {str(outline)[:60]}") from None
    return mask


def _filled(points: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """The pixels whose centers are inside a polygon (even-odd), from its crossings with every row of centers."""
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not finite")
    turns = np.zeros((size[1], size[0] + 1), np.int64)
    rows = np.arange(size[1]) + 0.5
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crossed = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        x = x0 + (rows[crossed] - y0) / ((y1 - y0) or 1.0) * (x1 - x0)
        np.add.at(turns, (crossed, np.clip(np.ceil(x - 0.5), 0, size[0]).astype(int)), 1)
    inside: Mask = np.cumsum(turns, axis=1)[:, :-1] % 2 == 1
    return inside


def _decode_runs(outline: dict[str, Any], size: tuple[int, int]) -> Mask:
    """Runs of background and object in turn, down the columns."""
    height, width = outline["size"]
    if (width, height) != size:
        raise ValueError(f"it is of a picture of {width} x {height} pixels, and this one has {size[0]} x {size[1]}")
    counts = outline["counts"]
    runs = np.asarray(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f"its runs cover {runs.sum()} pixels of {width * height}")
    values: NDArray[np.bool_] = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """COCO's packed counts: five bits a character, lowest first; after the third, differences to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in packed counts")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
