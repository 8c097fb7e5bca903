"""Sets with photographs of one color, and pairs made in them without a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from clipbench.annotate.opening import open_set
from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.session import Session
from clipbench.annotate.suggestions import keyword_caption

FREE, NO_DERIVATIVES = 4, 6
LICENSES = [
    {"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
    {"id": 6, "name": "Attribution-NoDerivs License", "url": "http://creativecommons.org/licenses/by-nd/2.0/"},
]


def write_photographs(folder: Path, photographs: list[tuple[list[str], int]], suffix: str = "jpg") -> Path:
    """Write COCO's layout: photographs as (captions, license id), each a gradient of its own."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    images, annotations = [], []
    for number, (captions, license_id) in enumerate(photographs, 1):
        name = f"{number:012d}.{suffix}"
        rows, columns = np.mgrid[0:30, 0:40]
        pixels = np.stack([rows * 8, columns * 6, np.full_like(rows, 40 * number % 256)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "val2017" / name)
        images.append(
            {
                "id": number, "file_name": name, "license": license_id, "width": 40, "height": 30,
                "coco_url": f"http://coco/{name}", "flickr_url": f"http://flickr/{name}", "date_captured": "2013-11-14",
            }
        )  # fmt: skip
        annotations += [{"id": len(annotations) + i, "image_id": number, "caption": c} for i, c in enumerate(captions)]
    content = {"licenses": LICENSES, "images": images, "annotations": annotations}
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    return folder


def make_set(folder: Path, count: int = 4, **options):
    """An open set of ``count`` photographs of white cats, in ``folder/set``."""
    if not (folder / "coco").exists():
        write_photographs(folder / "coco", [([f"A white cat number {n}.", "A cat."], FREE) for n in range(count)])
    given = {"data": {"coco": str(folder / "coco")}, "concept": "color", **options}
    return open_set(AnnotateOptions(output_path=folder / "set", **given))


def box_mask(image: Image.Image):
    mask = np.zeros((image.height, image.width), dtype=bool)
    mask[5:15, 10:20] = True
    return mask


def repaint(image: Image.Image, mask, value: int = 7) -> Image.Image:
    pixels = np.asarray(image).copy()
    pixels[mask] = value
    return Image.fromarray(pixels)


def to_candidates(session: Session, replacement: str = "black"):
    """Take a photograph as far as its candidates, of which there are three."""
    pair = session.next()
    pair = session.use(pair.id)
    session.set_mask_prompt(pair.id, "cat")
    image = session.store.image(pair.image)
    session.save_mask(pair.id, box_mask(image), {"segmenter": "by hand", "edits": {"widen_x": 2}})
    session.set_inpaint_prompt(pair.id, exchanged(session, pair, replacement), replacement)
    painting = session.painting(pair.id, 3)
    for value, seed in enumerate(painting.seeds):
        session.add_candidate(painting, seed, repaint(image, painting.mask, value), details={"inpainter": "test"})
    return session.pair(pair.id)


def finish(session: Session, replacement: str = "black", rating: str = "very good"):
    """Make a whole pair."""
    pair = to_candidates(session, replacement)
    session.choose(pair.id, pair.candidates[1].id)
    session.rate(pair.id, rating)
    return session.set_caption(pair.id, exchanged(session, pair, replacement))


def exchanged(session: Session, pair, replacement: str) -> str:
    return keyword_caption(session.store.concept, pair.caption).exchanged(replacement)
