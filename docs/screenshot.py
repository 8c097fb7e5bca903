"""Take the picture of a leaderboard page for docs/leaderboard.md: `python docs/screenshot.py PAGE.html IMAGE.png`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))
from tests.browser import Browser

_OPEN = "document.getElementById('gallery-box').open = true; new Promise(done => setTimeout(done, 500))"


def main(page: Path, image: Path, width: int = 1200, height: int = 3000) -> None:
    """Photograph the upper part of a page, with its gallery open, and make the file small."""
    browser = Browser()
    try:
        browser.open(page.resolve(), width=width)
        browser.run(_OPEN)
        browser.screenshot(image)
    finally:
        browser.close()
    picture = Image.open(image).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(height, picture.height)))
    picture = picture.resize((800, round(800 * picture.height / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(image, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
