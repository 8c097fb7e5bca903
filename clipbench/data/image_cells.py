"""Images in the cells of a text table: paths, ``data:`` URLs and base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from clipbench.data.caption_cells import listed
from clipbench.data.columns import download_advice
from clipbench.data.image_files import ImageFiles
from clipbench.data.records import absent_ref, bytes_ref
from clipbench.errors import DataError
from clipbench.types import ImageRef

# The beginnings of JPEG, PNG, GIF, WebP and TIFF in base64; or any base64 text that is too long for a file name.
_BASE64 = re.compile(r"(/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK)[\w+/=\s-]{40,}|[\w+/=\s-]{256,}", re.ASCII)
_LONGEST_PATH = 4096


def images_in(value: object, files: ImageFiles, where: str, column: str, absent: str) -> list[ImageRef]:
    """The images of a cell: several if it holds a list.

    Args:
        value: The cell.
        files: The files that paths refer to.
        where: File and line, for messages.
        column: The column.
        absent: The name of the image of an empty cell.

    Raises:
        DataError: It holds something else; URLs are not downloaded.
    """
    place = f"{where}, column {column}"
    if isinstance(value, str) and value.startswith(("[", "(")) and not files.has(value):
        value = listed(value) or value
    values = value if isinstance(value, (list, tuple)) else [value]
    return [_image(item, files, place, column, absent) for item in values]


def _image(value: object, files: ImageFiles, place: str, column: str, absent: str) -> ImageRef:
    if isinstance(value, Mapping):  # as the hub's libraries write images
        content = value.get("bytes")
        value = content if isinstance(content, str) and content else value.get("path", value.get("file_name", value))
        if isinstance(content, str) and content:
            return _embedded(content, place)
    if value is None or value == "" or value != value:  # NaN: a missing value of pandas
        return absent_ref(absent)
    if not isinstance(value, str):
        raise DataError(f"{place}: expected an image's path, found {str(value)[:40]!r}")
    if re.match(r"\s*(https?|ftp|s3|gs)://", value[:40], re.IGNORECASE):
        raise DataError(f"{place}: {value[:60]} is a URL: {download_advice(column)}")
    if value[:5].lower() == "data:":
        return _from_data_url(value, place)
    if _BASE64.fullmatch(value):
        return _embedded(value, place)
    if len(value) > _LONGEST_PATH:
        raise DataError(f"{place}: {len(value):,} characters, beginning {value[:40]!r}: neither a path nor base64")
    return files.ref(value)


def _from_data_url(text: str, place: str) -> ImageRef:
    head, comma, body = text.partition(",")
    if not comma or not head[5:].lower().startswith("image/"):
        raise DataError(f"{place}: {text[:40]!r} is no `data:image/…` URL")
    if head.lower().endswith(";base64"):
        return _embedded(body, place)
    return bytes_ref(unquote_to_bytes(body), place)


def _embedded(text: str, place: str) -> ImageRef:
    try:
        # Both alphabets, and missing padding, are in use.
        plain = "".join(text.split()).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(
            f"{place}: base64 that cannot be decoded ({error}), {len(text):,} characters, beginning {text[:20]!r}"
        ) from error
    return bytes_ref(content, place)
