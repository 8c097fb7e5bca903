"""Draws a scene with Pillow, identically on every platform.

Shapes are drawn without smoothing at integer coordinates on a canvas of 256 x 256 units; antialiasing comes from
`Image.reduce`, which averages 2 x 2 units in integer arithmetic. No fonts, files or floating-point geometry are used.
"""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageDraw

from clipbench.scenes.backdrops import paint_backdrop
from clipbench.scenes.icons import GRID, ICONS, Shape
from clipbench.scenes.scene import CANVAS, Scene, SceneObject, dice_for

PICTURE_SIZE: Final = 128  # pixels per side: half the canvas
_BACKDROP_STREAM: Final = 1
_FIXED: Final[dict[str, tuple[int, int, int]]] = {
    "dark": (40, 38, 44),
    "pale": (232, 228, 216),
    "steel": (112, 116, 124),
}
_INK: Final = (22, 20, 26)
_CHALK: Final = (226, 226, 226)  # outline of black objects, which a dark outline would not set off


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene: RGB, 128 x 128 pixels."""
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    paint_backdrop(pen, scene.backdrop, dice_for(scene.split, scene.seed, scene.index, _BACKDROP_STREAM))
    for thing in scene.things:
        _paint(pen, thing)
    return canvas.reduce(CANVAS // PICTURE_SIZE)


def silhouette(thing: SceneObject) -> Image.Image:
    """The mask of an object: mode L, 128 x 128 pixels, 255 in every pixel that it touches and 0 elsewhere."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    for shape in ICONS[thing.name]:
        _shape(pen, thing, shape, 255, 255)
    return canvas.reduce(CANVAS // PICTURE_SIZE).point(lambda value: 255 if value else 0)


def _paint(pen: ImageDraw.ImageDraw, thing: SceneObject) -> None:
    red, green, blue = thing.rgb
    outline = _CHALK if thing.color == "black" else _INK
    paints = {**_FIXED, "main": thing.rgb, "shade": (red * 3 // 4, green * 3 // 4, blue * 3 // 4)}
    # all outlines first: the shapes of an icon then join, and only the whole icon has an outline
    for shape in ICONS[thing.name]:
        _shape(pen, thing, shape, outline, outline)
    for shape in ICONS[thing.name]:
        _shape(pen, thing, shape, paints[shape[1]], None)


def _shape(
    pen: ImageDraw.ImageDraw,
    thing: SceneObject,
    shape: Shape,
    fill: int | tuple[int, int, int],
    rim: int | tuple[int, int, int] | None,
) -> None:
    """Draw one shape, scaled to the object's square; `rim` widens it by the outline's width."""
    kind, _, numbers = shape
    left, top = thing.x - thing.side // 2, thing.y - thing.side // 2
    points = [
        (left + x * thing.side // GRID, top + y * thing.side // GRID)
        for x, y in zip(numbers[::2], numbers[1::2], strict=True)
    ]
    width = max(2, thing.side // 32) if rim is not None else 0
    if kind == "poly":
        pen.polygon(points, fill=fill)
        if rim is not None:
            pen.line([*points, points[0], points[1]], fill=rim, width=2 * width + 1)
        return
    (x0, y0), (x1, y1) = points
    box = (x0 - width, y0 - width, x1 + width, y1 + width)
    (pen.ellipse if kind == "oval" else pen.rectangle)(box, fill=fill)
