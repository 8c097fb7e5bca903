"""Small copies of the seven datasets, in the exact columns that they have on the hub."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location

BROKEN = b"\xff\xd8\xff\xe0 this is no photograph"
"""Starts like a JPEG and cannot be decoded."""

Row = Mapping[str, Any]

_TEXT = Value("string")
_NUMBER = Value("int64")
_INPAINTCOCO = Features(
    {
        "concept": _TEXT,
        "coco_caption": _TEXT,
        "coco_image": Image(),
        "inpaint_caption": _TEXT,
        "inpaint_image": Image(),
        "mask": Image(),
        "worker": _TEXT,
        "coco_details": {
            "captions": List(_TEXT),
            "coco_url": _TEXT,
            "date_captured": _TEXT,
            "flickr_url": _TEXT,
            "height": _NUMBER,
            "id": _NUMBER,
            "image_license": _TEXT,
            "text_license": _TEXT,
            "width": _NUMBER,
        },
        "inpaint_details": {"duration": _NUMBER, "num_inference_steps": _NUMBER, "prompt": _TEXT},
        "mask_details": {"height_factor": _NUMBER, "prompt": _TEXT, "width_factor": _NUMBER},
    }
)
_COCO = Features(
    {
        "question_id": _TEXT,
        "image": Image(),
        "question": _TEXT,
        "answer": List(_TEXT),
        "id": _NUMBER,
        "license": _NUMBER,
        "file_name": _TEXT,
        "coco_url": _TEXT,
        "height": _NUMBER,
        "width": _NUMBER,
        "date_captured": _TEXT,
    }
)
_FASHION200K = Features(
    {
        "image": Image(),
        "category1": _TEXT,
        "category2": _TEXT,
        "category3": _TEXT,
        "text": _TEXT,
        "item_ID": _TEXT,
    }
)
_OLDBOOKS = Features(
    {
        "rawscan": Image(),
        "1600px": Image(),
        "info_url": _TEXT,
        "info_alt": _TEXT,
        "artist_name": _TEXT,
        "book_title": _TEXT,
        "image_title": _TEXT,
        "image_caption": _TEXT,
        "image_description": _TEXT,
    }
)


def picture(color: Any = (200, 30, 40), size: tuple[int, int] = (24, 16), format: str = "PNG") -> bytes:
    """A one-coloured image file."""
    buffer = io.BytesIO()
    Pictures.new("RGB", size, color).save(buffer, format)
    return buffer.getvalue()


def write_table(path: Path, features: Features, rows: Sequence[Row], *, row_group: int = 2) -> Path:
    """A parquet file as the hub has it: images as {bytes, path}, the hub's schema in its metadata."""
    columns = {name: [row.get(name) for row in rows] for name in features}
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path, batch_size=row_group)
    return path


def write_readme(folder: Path, splits: Mapping[str, str], features: str = "") -> Path:
    """A README whose metadata says which files are which split, and maybe what the columns are."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, pattern in splits.items():
        lines += [f"  - split: {split}", f"    path: {pattern}"]
    path = folder / "README.md"
    path.write_text("\n".join([*lines, *features.splitlines(), "---", "# A dataset"]), encoding="utf-8")
    return path


def cell(content: bytes | None, path: str | None = None) -> dict[str, Any] | None:
    """An image as a parquet cell holds it; None is an empty cell."""
    return None if content is None else {"bytes": content, "path": path}


def write_inpaintcoco(folder: Path, rows: Sequence[Row], *, row_group: int = 2) -> Path:
    """``phiyodr/InpaintCOCO``.

    Args:
        folder: Becomes a copy of the repository.
        rows: ``concept``, ``coco_caption``, ``coco_image`` (bytes), ``inpaint_caption``, ``inpaint_image``.
        row_group: Rows a row group.
    """
    full = [
        {
            "mask": cell(BROKEN),  # whoever decodes it fails
            "worker": "w1",
            "coco_details": {"captions": [row["coco_caption"]], "id": number, "height": 512, "width": 512},
            "inpaint_details": {"prompt": "a dog"},
            "mask_details": {"prompt": "dog"},
            **row,
            "coco_image": cell(row["coco_image"]),
            "inpaint_image": cell(row["inpaint_image"]),
        }
        for number, row in enumerate(rows)
    ]
    return write_table(folder / "data/test-00000-of-00001.parquet", _INPAINTCOCO, full, row_group=row_group).parents[1]


def write_coco_hub(folder: Path, rows: Sequence[tuple[bytes | None, Sequence[str]]]) -> Path:
    """``lmms-lab/COCO-Caption2017``: (image, captions) a row."""
    full = [
        {
            "image": cell(image, f"{number:012d}.jpg"),
            "answer": list(captions),
            "question": "Describe the image.",
            "id": number,
            "file_name": f"{number:012d}.jpg",
        }
        for number, (image, captions) in enumerate(rows)
    ]
    return write_table(folder / "data/val-00000-of-00001.parquet", _COCO, full).parents[1]


def write_coco_captioning_hub(folder: Path, rows: Sequence[tuple[bytes | None, Sequence[str]]]) -> Path:
    """``AKCIT/coco2017-captioning``."""
    features = Features({"image": Image(), "captions": List(_TEXT)})
    full = [{"image": cell(image), "captions": list(captions)} for image, captions in rows]
    return write_table(folder / "data/validation-00000-of-00001.parquet", features, full).parents[1]


def write_flickr30k_hub(folder: Path, rows: Sequence[tuple[bytes | None, str]]) -> Path:
    """``phiyodr/flickr30k_long``: a row a caption."""
    features = Features({"image": Image(), "caption": _TEXT})
    full = [{"image": cell(image), "caption": caption} for image, caption in rows]
    return write_table(folder / "data/test-00000-of-00001.parquet", features, full).parents[1]


def write_sbu_hub(folder: Path, rows: Sequence[tuple[bytes | None, str]]) -> Path:
    """A repository of SBU with images, as a user names it."""
    features = Features({"image": Image(), "caption": _TEXT})
    full = [{"image": cell(image), "caption": caption} for image, caption in rows]
    return write_table(folder / "data/train-00000-of-00001.parquet", features, full).parents[1]


def write_fashion200k_hub(folder: Path, rows: Sequence[tuple[bytes | None, str]]) -> Path:
    """``Marqo/fashion200k``: its only split is called ``data``."""
    full = [
        {"image": cell(image), "text": text, "category1": "women", "item_ID": f"{number}_0"}
        for number, (image, text) in enumerate(rows)
    ]
    return write_table(folder / "data/data-00000-of-00001.parquet", _FASHION200K, full).parents[1]


def write_nasa_hub(folder: Path, rows: Sequence[tuple[bytes | None, str]]) -> Path:
    """``nkasmanoff/nasa_earth_instagram``."""
    features = Features({"image": Image(), "text": _TEXT})
    full = [{"image": cell(image), "text": text} for image, text in rows]
    return write_table(folder / "data/train-00000-of-00001.parquet", features, full).parents[1]


def write_oldbooks_hub(folder: Path, rows: Sequence[tuple[bytes | None, str]]) -> Path:
    """``gigant/oldbookillustrations``: the caption is one text column of many, the image one of two."""
    full = [
        {
            "rawscan": cell(BROKEN),
            "1600px": cell(image),
            "image_caption": caption,
            "image_title": "a title",
            "info_alt": "an alternative",
        }
        for image, caption in rows
    ]
    return write_table(folder / "data/train-00000-of-00001.parquet", _OLDBOOKS, full).parents[1]


def write_coco(folder: Path, photos: Mapping[str, tuple[bytes | None, Sequence[str]]], split: str = "val2017") -> Path:
    """COCO's raw layout: file name to (image or None for a missing one, captions)."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / split).mkdir(exist_ok=True)
    images, annotations = [], []
    for number, (name, (image, captions)) in enumerate(photos.items(), 1):
        images.append({"id": number, "file_name": name})
        annotations += [{"image_id": number, "id": 0, "caption": caption} for caption in captions]
        if image is not None:
            (folder / split / name).write_bytes(image)
    content = {"images": images, "annotations": annotations}
    (folder / f"annotations/captions_{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def open_columns(path: Path | str, *, streaming: bool = False, **columns: tuple[str, ...]) -> Source:
    """Open a path as users do who name its columns in the location."""
    query = "&".join(f"{role}={','.join(names)}" for role, names in columns.items())
    location = f"{path}?{query}" if query else str(path)
    return open_source(*parse_location(Dataset("mine", None), location), streaming=streaming)
