"""Icons of the objects: a few filled shapes on a 48 x 48 grid.

A shape is (kind, paint, coordinates): `poly` with x, y pairs, `oval` and `box` with left, top, right, bottom.
Paints: `main` is the object's color, `shade` a darker main; `dark`, `pale` and `steel` do not depend on the color.
Main covers most of every icon, so that the color in a caption is the dominant one.
"""

from __future__ import annotations

from typing import Final, Literal

GRID: Final = 48
Kind = Literal["poly", "oval", "box"]
Paint = Literal["main", "shade", "dark", "pale", "steel"]
Shape = tuple[Kind, Paint, tuple[int, ...]]

ICONS: Final[dict[str, tuple[Shape, ...]]] = {
    "car": (
        ("poly", "main", (11, 24, 16, 14, 31, 14, 38, 24)),
        ("poly", "main", (2, 24, 44, 24, 47, 28, 47, 36, 1, 36, 1, 27)),
        ("poly", "pale", (15, 23, 18, 17, 23, 17, 23, 23)),
        ("poly", "pale", (26, 23, 26, 17, 30, 17, 34, 23)),
        ("oval", "dark", (6, 30, 17, 41)),
        ("oval", "dark", (31, 30, 42, 41)),
        ("oval", "steel", (9, 33, 14, 38)),
        ("oval", "steel", (34, 33, 39, 38)),
    ),
    "bus": (
        ("box", "main", (1, 8, 46, 38)),
        ("box", "pale", (5, 13, 12, 22)),
        ("box", "pale", (15, 13, 22, 22)),
        ("box", "pale", (25, 13, 32, 22)),
        ("box", "pale", (36, 13, 43, 33)),
        ("oval", "dark", (6, 33, 15, 42)),
        ("oval", "dark", (27, 33, 36, 42)),
    ),
    "boat": (
        ("poly", "dark", (22, 2, 25, 2, 25, 32, 22, 32)),
        ("poly", "main", (27, 4, 44, 29, 27, 29)),
        ("poly", "shade", (20, 9, 20, 29, 7, 29)),
        ("poly", "main", (1, 32, 47, 32, 39, 45, 9, 45)),
    ),
    "stop sign": (
        ("box", "steel", (22, 28, 26, 47)),
        ("poly", "main", (14, 1, 34, 1, 44, 10, 44, 23, 34, 32, 14, 32, 4, 23, 4, 10)),
        ("box", "pale", (10, 13, 38, 20)),
    ),
    "traffic light": (
        ("box", "steel", (21, 34, 27, 47)),
        ("box", "main", (12, 1, 36, 36)),
        ("oval", "dark", (18, 3, 30, 13)),
        ("oval", "pale", (18, 14, 30, 24)),
        ("oval", "dark", (18, 25, 30, 35)),
    ),
    "bird": (
        ("poly", "main", (2, 20, 16, 26, 12, 34)),
        ("oval", "main", (9, 18, 39, 38)),
        ("oval", "main", (28, 8, 43, 24)),
        ("poly", "dark", (42, 13, 47, 17, 42, 19)),
        ("poly", "shade", (14, 24, 30, 22, 22, 33)),
        ("oval", "dark", (36, 12, 39, 15)),
        ("poly", "dark", (22, 38, 24, 38, 24, 46, 22, 46)),
        ("poly", "dark", (29, 37, 31, 37, 31, 46, 29, 46)),
    ),
    "cat": (
        ("poly", "main", (35, 40, 44, 34, 43, 20, 47, 20, 47, 38, 38, 46)),
        ("oval", "main", (10, 22, 38, 47)),
        ("poly", "main", (6, 14, 7, 0, 16, 6)),
        ("poly", "main", (32, 14, 31, 0, 22, 6)),
        ("oval", "main", (4, 4, 34, 29)),
        ("oval", "dark", (10, 12, 15, 18)),
        ("oval", "dark", (23, 12, 28, 18)),
        ("poly", "dark", (17, 20, 21, 20, 19, 23)),
    ),
    "umbrella": (
        ("box", "dark", (22, 22, 25, 42)),
        ("poly", "dark", (22, 41, 25, 41, 27, 43, 30, 43, 31, 39, 34, 39, 33, 46, 25, 47)),
        ("poly", "main", (1, 25, 4, 15, 12, 7, 23, 3, 35, 7, 43, 15, 46, 25, 39, 21, 31, 25, 23, 21, 16, 25, 8, 21)),
        ("poly", "shade", (23, 3, 31, 25, 23, 21, 16, 25)),
    ),
    "suitcase": (
        ("box", "dark", (16, 3, 32, 12)),
        ("box", "pale", (20, 7, 28, 12)),
        ("box", "main", (3, 11, 45, 44)),
        ("box", "shade", (10, 11, 14, 44)),
        ("box", "shade", (34, 11, 38, 44)),
        ("box", "steel", (21, 18, 27, 24)),
    ),
    "kite": (
        ("poly", "dark", (26, 34, 28, 34, 20, 47, 18, 46)),
        ("poly", "main", (36, 1, 46, 16, 27, 36, 12, 8)),
        ("poly", "shade", (36, 1, 27, 36, 12, 8)),
        ("poly", "main", (8, 40, 16, 44, 17, 38, 24, 46)),
    ),
    "skateboard": (
        ("poly", "main", (0, 16, 5, 16, 11, 21, 37, 21, 43, 16, 48, 16, 48, 22, 40, 31, 8, 31, 0, 22)),
        ("oval", "dark", (8, 29, 18, 39)),
        ("oval", "dark", (30, 29, 40, 39)),
        ("oval", "steel", (11, 32, 15, 36)),
        ("oval", "steel", (33, 32, 37, 36)),
    ),
    "bottle": (
        ("box", "dark", (19, 0, 29, 5)),
        ("poly", "main", (20, 5, 28, 5, 29, 15, 35, 22, 35, 47, 13, 47, 13, 22, 19, 15)),
        ("box", "pale", (13, 27, 35, 37)),
    ),
    "cup": (
        ("oval", "main", (29, 16, 46, 36)),
        ("oval", "pale", (33, 20, 42, 32)),
        ("poly", "main", (4, 10, 36, 10, 33, 43, 7, 43)),
        ("oval", "shade", (4, 6, 36, 14)),
    ),
    "banana": (
        ("poly", "main", (8, 5, 13, 4, 15, 17, 23, 27, 34, 32, 45, 31, 46, 36, 36, 43, 23, 42, 12, 34, 6, 21)),
        ("box", "dark", (7, 1, 13, 6)),
        ("poly", "shade", (11, 22, 21, 33, 35, 38, 23, 37, 14, 30)),
    ),
    "apple": (
        ("poly", "dark", (23, 3, 26, 2, 26, 13, 23, 13)),
        ("poly", "steel", (26, 8, 32, 2, 39, 3, 33, 9)),
        ("oval", "main", (4, 10, 29, 44)),
        ("oval", "main", (19, 10, 44, 44)),
        ("oval", "shade", (18, 9, 30, 14)),
    ),
    "donut": (
        ("oval", "shade", (1, 7, 47, 45)),
        ("oval", "main", (2, 5, 46, 39)),
        ("oval", "dark", (16, 16, 32, 28)),
        ("box", "pale", (8, 17, 11, 19)),
        ("box", "pale", (34, 14, 37, 16)),
        ("box", "pale", (20, 9, 23, 11)),
        ("box", "pale", (26, 32, 29, 34)),
    ),
    "chair": (
        ("box", "main", (9, 1, 15, 47)),
        ("box", "main", (9, 3, 35, 9)),
        ("box", "shade", (15, 12, 31, 17)),
        ("box", "main", (30, 1, 35, 26)),
        ("poly", "main", (9, 24, 39, 24, 42, 31, 9, 31)),
        ("box", "main", (36, 30, 41, 47)),
    ),
    "bed": (
        ("box", "dark", (0, 9, 5, 43)),
        ("box", "dark", (43, 22, 47, 43)),
        ("box", "main", (5, 24, 43, 38)),
        ("box", "pale", (6, 17, 18, 25)),
        ("poly", "shade", (18, 20, 43, 20, 43, 28, 18, 28)),
    ),
    "book": (
        ("poly", "main", (0, 8, 23, 13, 23, 44, 0, 38)),
        ("poly", "main", (47, 8, 25, 13, 25, 44, 47, 38)),
        ("poly", "pale", (4, 5, 23, 11, 23, 20, 4, 15)),
        ("poly", "pale", (43, 5, 25, 11, 25, 20, 43, 15)),
        ("box", "dark", (22, 11, 26, 45)),
    ),
    "clock": (
        ("oval", "main", (2, 2, 46, 46)),
        ("oval", "pale", (12, 12, 36, 36)),
        ("box", "dark", (23, 14, 25, 25)),
        ("box", "dark", (23, 23, 33, 25)),
    ),
}
