"""Small copies of the compositional benchmarks, in the exact layouts that their authors or the hub have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets import Features, Image, List, Value

from tests.data.builders import cell, write_table
from tests.oracles import numbered_image

TEXT = Value("string")
COUNT = 3
"""Rows of each part."""


class World:
    """Numbered pictures, and which of them each true caption belongs to.

    Attributes:
        owners: Caption to the number of its picture.
    """

    def __init__(self) -> None:
        self.owners: dict[str, int] = {}
        self._count = 0

    def picture(self, file: Path | None = None, captions: Sequence[str] = ()) -> bytes:
        """A new picture that captions are true of, as PNG whatever the file is called."""
        buffer = io.BytesIO()
        numbered_image(self._count).save(buffer, "PNG")
        self.owners |= dict.fromkeys(captions, self._count)
        self._count += 1
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(buffer.getvalue())
        return buffer.getvalue()


def _write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def sugarcrepe(root: Path, world: World, *, second: bool = False) -> None:
    """SugarCrepe: an object of entries a part. SugarCrepe++: a list of them, in ``data/``."""
    parts = [
        "replace_att",
        "replace_obj",
        "replace_rel",
        "swap_att",
        "swap_obj",
        *([] if second else ["add_att", "add_obj"]),
    ]
    for place, part in enumerate(parts):
        rows = []
        for row in range(COUNT):
            name = f"{place:06d}{row:06d}.jpg"
            true = [f"{part} {row} {second}", *([f"{part} {row} again"] if second else [])]
            world.picture(root / "val2017" / name, true)
            entry = {"filename": name, "caption": true[0], "negative_caption": f"not {part} {row}"}
            rows.append({"id": row, **entry, "caption2": true[1]} if second else entry)
        content = rows if second else {str(row): entry for row, entry in enumerate(rows)}
        _write(root / ("data" if second else "") / f"{part}.json", content)


def aro(root: Path, world: World) -> None:
    """Visual Genome's parts, with boxes."""
    for part in ("relation", "attribution"):
        rows = []
        for row in range(COUNT):
            name, true = f"{part}{row}.jpg", f"the {part} {row}"
            world.picture(root / "images" / name, [true])
            about = (
                {"relation_name": f"on {row % 2}"} if part == "relation" else {"attributes": ["red", f"old {row % 2}"]}
            )
            box = {"bbox_x": 1, "bbox_y": 1, "bbox_w": 6, "bbox_h": 6}
            rows.append(
                {
                    "image_id": row,
                    "image_path": name,
                    **box,
                    "true_caption": true,
                    "false_caption": f"no {true}",
                    **about,
                }
            )
        _write(root / f"visual_genome_{part}.json", rows)


def aro_order(root: Path, world: World, *, flickr: bool = False) -> None:
    """The hub's copy of an order task."""
    shuffles = [f"hard_text_{number}" for number in (1, 2, 3, 4)]
    rows = []
    for row in range(COUNT):
        true = f"order {row} {flickr}"
        rows.append({"images": cell(world.picture(None, [true])), "correct_caption": true})
        rows[-1] |= {name: f"{name} of {true}" for name in shuffles}
    features = Features({"images": Image(), "correct_caption": TEXT, **dict.fromkeys(shuffles, TEXT)})
    write_table(root / "data" / "test-00000-of-00001.parquet", features, rows)


def winoground(root: Path, world: World) -> None:
    lines = []
    for row in range(COUNT):
        entry = {"id": row, "tag": "Noun" if row else "Object", "secondary_tag": "", "collapsed_tag": "Object"}
        for side in (0, 1):
            caption = f"wino {row} {side}"
            entry |= {f"caption_{side}": caption, f"image_{side}": f"ex_{row}_img_{side}"}
            world.picture(root / "images" / f"ex_{row}_img_{side}.png", [caption])
        lines.append(json.dumps(entry))
    _write(root / "examples.jsonl", "\n".join(lines) + "\n")


def pairs(root: Path, world: World, images: Sequence[str], captions: Sequence[str], **fields: str) -> None:
    """A parquet table of pairs."""
    rows = []
    for row in range(COUNT):
        rows.append(dict(fields))
        for image, caption in zip(images, captions, strict=True):
            text = f"{root.name} {row} {caption}"
            rows[-1] |= {image: cell(world.picture(None, [text])), caption: text}
    names = {**dict.fromkeys(images, Image()), **dict.fromkeys((*captions, *fields), TEXT)}
    write_table(root / "data" / "test-00000-of-00001.parquet", Features(names), rows)


def svo_probes(root: Path, world: World) -> None:
    kinds = ("subj_neg", "verb_neg", "obj_neg")
    names = [
        "index",
        "sentence",
        "pos_triplet",
        "neg_triplet",
        "pos_url",
        "neg_url",
        "pos_image_id",
        "neg_image_id",
        *kinds,
    ]
    root.mkdir(parents=True)
    with (root / "svo_probes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in range(len(kinds) * COUNT):
            sentence = f"svo, {row}"
            world.picture(root / "images" / f"{row}1.jpg", [sentence])
            world.picture(root / "images" / f"{row}2.jpg")
            told = [kind == kinds[row % 3] for kind in kinds]
            writer.writerow([row, sentence, "a,b,c", "a,b,d", "http://a/1", "http://a/2", f"{row}1", f"{row}2", *told])


def vl_checklist(root: Path, world: World) -> None:
    files = [
        f"Attribute/{source}/{kind}"
        for source in ("vg", "vaw")
        for kind in ("action", "color", "material", "size", "state")
    ]
    files += ["Object/Location/hake_location/hake_obj_margin", "Object/Size/swig_size/swig_agent/swig_agent_small"]
    files += ["Relation/vg/action", "Relation/vg/spatial", "Relation/swig_action"]
    for place, name in enumerate(files):
        rows = []
        for row in range(COUNT):
            true = f"{name} {row}"
            folder, image = ("swig", f"{place}_{row}.jpg") if "swig" in name else ("hake", f"pic/{place}_{row}.jpg")
            if "swig" not in name and "hake" not in name:
                folder, image = "vg", f"VG_100K/{place}_{row}.jpg"
            world.picture(root / folder / image, [true])
            rows.append([image, {"POS": [true], "NEG": [f"not {true}"]}])
        _write(root / "data" / f"{name}.json", rows)


def whatsup(root: Path, world: World) -> None:
    for part, folder in (("images", "controlled_images"), ("clevr", "controlled_clevr")):
        rows = []
        for row in range(COUNT):
            options = [f"a {part} {where} it" for where in ("on", "under", "to the left of", "to the right of")]
            options = [*options[row:], *options[:row]]  # of a set, each image has another true caption
            world.picture(root / folder / f"{row}.jpeg", options[:1])
            rows.append({"image_path": f"data/{folder}/{row}.jpeg", "caption_options": options})
        _write(root / f"controlled_{part}_dataset.json", rows)
    for source, name in (("coco", "val2017/{:012d}.jpg"), ("vg", "vg_images/{}.jpg")):
        for number, base in (("one", 10), ("two", 20)):
            rows = [
                [base + row, f"{source} {number} {row} left", f"{source} {number} {row} right"] for row in range(COUNT)
            ]
            for image, true, _ in rows:
                world.picture(root / name.format(image), [true])
            _write(root / f"{source}_qa_{number}_obj.json", rows)


def valse(root: Path, world: World) -> None:
    pieces = ["existence", "plurals", "counting-hard", "counting-small-quant", "counting-adversarial", "relations"]
    pieces += ["action-replacement", "actant-swap", "coreference-standard", "coreference-hard", "foil-it"]
    for piece in pieces:
        rows = {}
        for row in range(COUNT + 1):
            true = f"valse {piece} {row}"
            name = f"{piece}_{row}.jpg"
            world.picture(root / "images" / piece[:4] / name, [true])
            votes = {"foil": 0, "caption": 3 if row < COUNT else 1, "other": 0}  # the last one is not valid
            caption = [true] if piece == "plurals" else true
            rows[f"{piece}_{row}"] = {
                "dataset": "x", "image_file": name, "caption": caption, "foil": f"no {true}", "mturk": votes
            }  # fmt: skip
        _write(root / f"{piece}.json", rows)


def mmvp_vlm(root: Path, world: World) -> None:
    patterns = ["Camera Perspective", "Color", "Orientation"]
    lines = ["Question ID,Type,Statement"]
    for number in range(1, 2 * COUNT + 1):
        pattern = patterns[(number - 1) // 2]
        world.picture(root / "MLLM_VLM Images" / pattern / f"{number}.jpg", [f"a photo of mmvp, {number}"])
        lines.append(f'{number},{pattern},"mmvp, {number}"')
    _write(root / "Questions.csv", "\n".join(lines) + "\n")


def cola(root: Path, world: World) -> None:
    rows = []
    for row in range(COUNT):
        entry = []
        for side in (0, 1):
            world.picture(root / "images" / f"{row}{side}.jpg", [f"cola {row} {side}"])
            entry += [f"https://cs-people.bu.edu/array/data/vg_gqa_images/{row}{side}.jpg", f"cola {row} {side}"]
        rows.append(entry)
    _write(root / "data" / "COLA_multiobjects_matching_benchmark.json", rows)


def hub_copy(root: Path, world: World) -> None:
    """SugarCrepe as on the hub: all parts in one table."""
    rows = []
    for part in ("add_att", "swap_obj"):
        for row in range(COUNT):
            true = f"hub {part} {row}"
            image = cell(world.picture(None, [true]))
            rows.append({"images": image, "caption": true, "negative_caption": f"no {true}", "Negative_type": part})
    names = {"images": Image(), "caption": TEXT, "negative_caption": TEXT, "Negative_type": TEXT}
    write_table(root / "data" / "train-00000-of-00001.parquet", Features(names), rows)


def aro_hub(root: Path, world: World) -> None:
    """The hub's copy of VG-Attribution, whose images are cut already."""
    rows = []
    for row in range(COUNT):
        true = f"aro hub {row}"
        rows.append({"image": cell(world.picture(None, [true])), "true_caption": true, "false_caption": f"no {true}"})
        rows[-1]["attributes"] = ["old", str(row % 2)]
    names = {"image": Image(), "true_caption": TEXT, "false_caption": TEXT, "attributes": List(TEXT)}
    write_table(root / "data" / "test-00000-of-00001.parquet", Features(names), rows)


WRITERS: dict[str, Callable[[Path, World], None]] = {
    "sugarcrepe": sugarcrepe,
    "sugarcrepe_pp": lambda root, world: sugarcrepe(root, world, second=True),
    "aro": aro,
    "aro_coco_order": aro_order,
    "aro_flickr_order": lambda root, world: aro_order(root, world, flickr=True),
    "winoground": winoground,
    "bivlc": lambda root, world: pairs(
        root, world, ("image", "negative_image"), ("caption", "negative_caption"), type="swap", subtype="obj"
    ),
    "colorswap": lambda root, world: pairs(root, world, ("image_1", "image_2"), ("caption_1", "caption_2")),
    "vismin": lambda root, world: pairs(root, world, ("image_0", "image_1"), ("text_0", "text_1"), category="count"),
    "svo_probes": svo_probes,
    "vl_checklist": vl_checklist,
    "whatsup": whatsup,
    "valse": valse,
    "mmvp_vlm": mmvp_vlm,
    "cola": cola,
}
"""Data set to what writes it into a folder."""
