"""A small set, with a painter and a segmenter that take a moment and do what is asked."""

import threading

import numpy as np
from PIL import Image, ImageDraw

from clipbench.annotate.painters.base import Cancelled, Painted
from clipbench.annotate.records import Photograph
from clipbench.annotate.server.workbench import Workbench
from clipbench.annotate.store import Store, create
from clipbench.errors import DataError
from clipbench.types import ImageRef

BOX = (40, 24, 88, 72)
SIZE = (128, 96)
RGB = {"red": (200, 30, 30), "blue": (30, 60, 200), "green": (30, 150, 50)}


def picture(number=0):
    image = Image.new("RGB", SIZE, (90 + number, 120, 110))
    ImageDraw.Draw(image).rectangle((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), fill=RGB["red"])
    return image


def box_mask():
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return mask


class Segmenter:
    name = "boxes"

    def details(self):
        return {"segmenter": "boxes"}

    def segment(self, image, prompt, source=None):
        if "ghost" in prompt:
            raise DataError(f"{prompt!r}: nothing was found: draw it")
        return box_mask()


class Painter:
    """Fills the mask; while `held`, every candidate but the first waits at its first step."""

    name = "filler"

    def __init__(self):
        self.free = threading.Event()
        self.free.set()

    def check(self, concept):
        pass

    def details(self):
        return {"painter": "filler"}

    def seconds_per_candidate(self):
        return 0.5

    def paint(self, request, on_step, cancelled):
        on_step(1, 2)
        if request.seed % 3:
            while not self.free.wait(0.01):
                if cancelled():
                    raise Cancelled
        image = request.image.copy()
        color = tuple(value + request.seed % 50 for value in RGB.get(request.replacement, (90, 90, 90)))
        image.paste(color, mask=Image.fromarray(request.mask))
        on_step(2, 2)
        return Painted(image, request.mask, notes=("Only a test.",))


def make_bench(folder, captions=("A red box on the floor.",), photographs=3, painter=None, annotators=1):
    """A workbench on a new set; each photograph has the same captions."""
    words = {"red": ("blue", "green"), "blue": ("red", "green"), "green": ("red", "blue")}
    meta = {"concept": "color", "replacements": words, "seed": 0, "annotators_per_photograph": annotators}
    names = [f"{number:03d}.jpg" for number in range(photographs)]
    create(
        folder,
        meta,
        [
            Photograph(name, tuple(captions), {"image_license": "CC BY 2.0", "captions": list(captions)})
            for name in names
        ],
    )
    refs = {name: ImageRef(name, lambda number=number: picture(number)) for number, name in enumerate(names)}
    return Workbench(Store(folder, refs), Segmenter(), painter or Painter())
