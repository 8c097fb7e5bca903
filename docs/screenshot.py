"""Take the pictures of docs/leaderboard.md: `python docs/screenshot.py PAGE.html FOLDER`.

With a name (`python docs/screenshot.py site/models/MODEL.html docs/images site_model`): one picture, of another page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))
from tests.browser import Browser

# name: width and height of the screen, whether it is dark, width of the picture
_PICTURES = {
    "leaderboard": (1280, 2600, False, 1000),
    "leaderboard_dark": (1280, 2600, True, 1000),
    "leaderboard_phone": (390, 1700, False, 390),
}


def main(page: Path, folder: Path, name: str | None = None) -> None:
    """Photograph the upper part of a page on a desktop, in the dark and on a phone, and make the files small."""
    browser = Browser()
    try:
        pictures = {name: (1280, 1900, False, 1000)} if name else _PICTURES
        for name, (width, height, dark, shown) in pictures.items():
            browser.open(page.resolve(), width=width, dark=dark)
            browser.wait("document.readyState === 'complete'")
            image = folder / f"{name}.png"
            browser.screenshot(image)
            picture = Image.open(image).convert("RGB")
            picture = picture.crop((0, 0, picture.width, min(height, picture.height)))
            picture = picture.resize((shown, round(shown * picture.height / picture.width)), Image.Resampling.LANCZOS)
            picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE).save(
                image, optimize=True
            )
    finally:
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
