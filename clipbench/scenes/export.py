"""Exports scenes as files for other tools.

`DIR/annotations/captions_test.json` and `DIR/test/000000000000.png` in COCO's caption format, and
`DIR/inpaint/test-00000-of-00001.parquet` with the columns of the InpaintCOCO dataset (phiyodr/InpaintCOCO).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from clipbench.errors import DataError
from clipbench.scenes.scene import Scene
from clipbench.scenes.world import EDIT_CONCEPTS, Edit, World, edits

if TYPE_CHECKING:
    import pyarrow as pa

_LICENSE = "Made by clipbench; no rights reserved."
_ROWS_AT_ONCE = 64


def export_world(
    directory: Path,
    *,
    split: str = "test",
    size: int = 1000,
    pairs: int = 300,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write pictures with captions, and edited pairs.

    Args:
        directory: Created if missing; files of an earlier export are overwritten.
        split: "train", "val" or "test".
        size: Number of pictures with captions.
        pairs: Number of edited pairs of each concept.
        seed: Seed of the scenes.
        progress: Called with 1 after each picture and pair.

    Raises:
        ConfigError: An unknown split, or a negative size or seed.
        DataError: A file cannot be written.
    """
    tick = progress or (lambda _: None)
    World(split, pairs, seed)  # fail now, not after the pictures
    try:
        write_captions(directory, World(split, size, seed), tick)
        write_pairs(directory / "inpaint" / f"{split}-00000-of-00001.parquet", _all_edits(split, pairs, seed), tick)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or directory}: {error.strerror}") from error


def write_captions(directory: Path, world: World, tick: Callable[[int], None]) -> None:
    """Write pictures as lossless PNG, and one COCO caption file; image ids are scene indices."""
    pictures = directory / world.split
    pictures.mkdir(parents=True, exist_ok=True)
    (directory / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index, picture in enumerate(world):
        image = picture.draw()
        name = f"{index:012d}.png"
        image.save(pictures / name)
        images.append({"id": index, "file_name": name, "width": image.width, "height": image.height, "license": 1})
        for caption in picture.captions:
            annotations.append({"id": len(annotations), "image_id": index, "caption": caption})
        tick(1)
    content = {
        "info": {"description": f"clipbench scenes: split {world.split}, seed {world.seed}, {len(world)} pictures"},
        "licenses": [{"id": 1, "name": _LICENSE, "url": ""}],
        "images": images,
        "annotations": annotations,
    }
    path = directory / "annotations" / f"captions_{world.split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def write_pairs(path: Path, pairs: Iterator[Edit], tick: Callable[[int], None]) -> None:
    """Write edited pairs as parquet, one row per pair, with a few rows in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    schema = _schema()
    # pyarrow takes a relative a:b for an address
    with pq.ParquetWriter(path.absolute(), schema) as writer:
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            rows.append(_row(pair))
            tick(1)
            if len(rows) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _all_edits(split: str, count: int, seed: int) -> Iterator[Edit]:
    for concept in EDIT_CONCEPTS:
        yield from edits(split, count, concept, seed)


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    coco_details = pa.struct(
        [
            ("captions", pa.list_(text)),
            ("coco_url", text),
            ("date_captured", text),
            ("flickr_url", text),
            ("height", number),
            ("id", number),
            ("image_license", text),
            ("text_license", text),
            ("width", number),
        ]
    )
    columns = {
        "concept": text,
        "coco_caption": text,
        "coco_image": image,
        "inpaint_caption": text,
        "inpaint_image": image,
        "mask": image,
        "worker": text,
        "coco_details": coco_details,
        "inpaint_details": pa.struct([("prompt", text), ("quality", text)]),
        "mask_details": pa.struct([("prompt", text)]),
    }
    # the `datasets` library needs this to decode images
    features: dict[str, object] = {
        name: {"_type": "Image"} if kind == image else _feature(kind) for name, kind in columns.items()
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(columns.items()), metadata=metadata)


def _feature(kind: pa.DataType) -> object:
    """A column's type in the notation of the `datasets` library."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}


def _row(pair: Edit) -> dict[str, Any]:
    before, after = pair.draw()
    key = pair.before.key
    return {
        "concept": pair.concept,
        "coco_caption": pair.caption_before,
        "coco_image": _png(before, f"{key}.png"),
        "inpaint_caption": pair.caption_after,
        "inpaint_image": _png(after, f"{key}-{pair.concept}.png"),
        "mask": _png(pair.mask().convert("RGB"), f"{key}-{pair.concept}-mask.png"),
        "worker": "clipbench",
        "coco_details": _details(pair.before, pair.caption_before, before),
        "inpaint_details": {"prompt": pair.caption_after, "quality": "very good"},
        "mask_details": {"prompt": pair.before.things[pair.thing].name},
    }


def _details(scene: Scene, caption: str, image: Image.Image) -> dict[str, Any]:
    return {
        "captions": [caption],
        "coco_url": "",
        "date_captured": "",
        "flickr_url": "",
        "height": image.height,
        "id": scene.index,
        "image_license": _LICENSE,
        "text_license": _LICENSE,
        "width": image.width,
    }


def _png(image: Image.Image, name: str) -> dict[str, object]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"bytes": file.getvalue(), "path": name}
