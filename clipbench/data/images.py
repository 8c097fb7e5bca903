"""Decodes the bytes of an image file into an upright RGB image.

The reference stacks (open_clip, transformers) call ``Image.open(…).convert("RGB")``. For ordinary
photographs this module returns identical values. It differs if that call shows a model something other
than what a person sees:

- EXIF orientation is applied. The reference stacks ignore it, so they score rotated photographs.
- Transparent images are composited onto white. ``convert("RGB")`` exposes the hidden color.
- 16-bit grayscale is scaled to 8 bits. ``convert("RGB")`` clips it, which leaves a white square.
"""

from __future__ import annotations

import io
import os
import warnings
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from clipbench.errors import DataError
from clipbench.utils.files import read_regular
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from PIL import Image

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Older versions of Pillow open 16-bit PNG as 32-bit integers, and all versions do so for PPM; the range is the same.
_SIXTEEN_BIT_FORMATS = ("PNG", "PPM")

# Cameras' largest photographs are below this; a decoded image of this size takes 300 MB, and threads decode several.
MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 28


def decode(data: bytes | str | os.PathLike[str], key: str) -> Image.Image:
    """Decode one image completely; of an animation, the first frame.

    Args:
        data: The file's content, or the path of the file.
        key: What error messages call the image.

    Returns:
        An upright RGB image in memory that holds no open file.

    Raises:
        DataError: The file is missing, not a regular file, empty, not an image, truncated, or larger than ``MAX_BYTES``
            or ``MAX_PIXELS``.
    """
    from PIL import Image, UnidentifiedImageError

    content = data if isinstance(data, bytes) else _read(data, key)
    if not content:
        raise DataError(f"{key}: the image is empty (0 bytes); download it again")
    _silence_pillow()
    try:
        with Image.open(io.BytesIO(content)) as image:
            _require_plausible_size(*image.size)
            image.load()
            _rotate_upright(image)
            return _to_rgb(image)
    except DataError as error:
        raise DataError(f"{key}: {error}") from error
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        start = content[:12]
        raise DataError(
            f"{key}: not an image that Pillow can read ({pluralize(len(content), 'byte')}, beginning {start!r})"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{key}: the image is too large to be a photograph ({error})") from error
    except Exception as error:  # decoders raise any error of their parsers: struct.error, IndexError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{key}: the image is corrupt or truncated ({reason})") from error


def _read(path: str | os.PathLike[str], key: str) -> bytes:
    """Read the whole file, because Pillow would keep the file of an animation open."""
    try:
        return read_regular(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{key}: no such image file: {os.fspath(path)}") from error
    except OSError as error:
        raise DataError(f"{key}: cannot read {os.fspath(path)}: {error.strerror}") from error


@cache
def _silence_pillow() -> None:
    """Turn off Pillow's warning about large images; here, they are either refused or accepted."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _require_plausible_size(width: int, height: int) -> None:
    """Refuse huge images by their header, before pixels take memory: a 500 kB PNG can hold 170 million of them."""
    if width * height > MAX_PIXELS:
        raise DataError(
            f"the image is too large to be a photograph: {width:,} x {height:,} pixels, and the limit is"
            f" {MAX_PIXELS // 1_000_000} million; make it smaller"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    sixteen_bit = image.mode == "I" and image.format in _SIXTEEN_BIT_FORMATS
    if sixteen_bit or image.mode in _SIXTEEN_BIT_MODES:
        return _from_sixteen_bit(image)
    if image.mode in ("I", "F"):
        raise DataError(
            f"32-bit samples (mode {image.mode}) have no agreed range from black to white;"
            " convert the image to 8 or 16 bits"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    """0…65535 to 0…255, rounded to nearest: 65535 = 255 · 257, so the ends meet exactly."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.uint32)  # (H, W)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _rotate_upright(image: Image.Image) -> None:
    """Undo the camera's rotation in place; after loading, because Pillow then has rotated TIFF files itself."""
    from PIL import ImageOps

    with suppress(Exception):  # broken EXIF is common in otherwise valid files; such an image is not rotated
        ImageOps.exif_transpose(image, in_place=True)
