from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.data.images import decode
from clipbench.errors import DataError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def photograph(size: tuple[int, int] = (37, 23)) -> Image.Image:
    noise = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_ordinary_photographs_equal_pillows_plain_reading(format: str) -> None:
    data = encoded(photograph(), format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.asarray(decode(data, "a")), expected)


def test_a_path_and_its_bytes_give_the_same(tmp_path: Path) -> None:
    data = encoded(photograph(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    assert decode(tmp_path / "a.jpg", "a").tobytes() == decode(str(tmp_path / "a.jpg"), "a").tobytes()
    assert decode(tmp_path / "a.jpg", "a").tobytes() == decode(data, "a").tobytes()


def test_nothing_is_left_open(tmp_path: Path) -> None:
    frames = [Image.new("P", (4, 4), index) for index in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        image = decode(tmp_path / "a.gif", "a")
        (tmp_path / "a.gif").unlink()
        assert image.getpixel((0, 0)) is not None
        del image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_every_exif_orientation_is_undone(orientation: int, format: str) -> None:
    upright = Image.new("RGB", (32, 16), WHITE)
    upright.paste(RED, (0, 0, 16, 8))  # top left
    upright.paste(BLUE, (16, 8, 32, 16))  # bottom right
    # The camera stored what undoing the orientation turns into the upright picture.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    image = decode(encoded(stored, format, exif=exif, **quality), "a")
    assert image.size == (32, 16)
    for place, color in (((4, 4), RED), ((28, 12), BLUE), ((28, 4), WHITE), ((4, 12), WHITE)):
        assert np.abs(np.subtract(image.getpixel(place), color)).max() <= 4


def test_broken_exif_does_not_lose_the_picture() -> None:
    data = encoded(Image.new("RGB", (8, 8), RED), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, "a").getpixel((0, 0)) == RED


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257 * 100, 100), (128, 0), (129, 1), (65535, 255)])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(value: int, expected: int, format: str) -> None:
    data = encoded(Image.fromarray(np.full((4, 4), value, np.uint16)), format)
    image = decode(data, "a")
    assert (image.mode, image.getpixel((1, 1))) == ("RGB", (expected,) * 3)


def test_cmyk() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")
    assert decode(data, "a").getpixel((1, 1)) == RED


def test_cmyk_jpeg() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(np.subtract(decode(data, "a").getpixel((5, 5)), RED)).max() <= 6


@pytest.mark.parametrize(
    ("mode", "clear", "half"), [("RGBA", (255, 0, 0, 0), (255, 0, 0, 51)), ("LA", (0, 0), (0, 51))]
)
def test_transparency_lies_on_white(mode: str, clear: tuple[int, ...], half: tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), clear)
    image.putpixel((1, 0), half)
    decoded = decode(encoded(image, "PNG"), "a")
    assert decoded.getpixel((0, 0)) == WHITE
    expected = (255, 204, 204) if mode == "RGBA" else (204, 204, 204)
    assert decoded.getpixel((1, 0)) == expected


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_lies_on_white(format: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    decoded = decode(encoded(image, format, transparency=0), "a")
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]


def test_an_opaque_palette_and_one_bit() -> None:
    image = Image.new("P", (1, 1))
    image.putpalette([*BLUE])
    assert decode(encoded(image, "PNG"), "a").getpixel((0, 0)) == BLUE
    assert decode(encoded(Image.new("1", (9, 9), 1), "PNG"), "a").getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert decode(data, "a").getpixel((3, 3)) == RED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "row 7: the image is empty (0 bytes)"),
        (b"<html>404 Not Found</html>", "row 7: not an image that Pillow can read (26 bytes"),
        (encoded(photograph((200, 200)), "JPEG")[:-5000], "row 7: the image is corrupt or truncated"),
        (encoded(photograph((200, 200)), "PNG")[:-5000], "row 7: the image is corrupt or truncated"),
        (encoded(photograph(), "PNG")[:40], "row 7: "),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "row 7: 32-bit samples (mode F)"),
    ],
    ids=["empty", "html", "cut JPEG", "cut PNG", "head only", "floats"],
)
def test_what_is_no_image_is_named_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(data, "row 7")
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="row 7: the image is too large to be a photograph"):
        decode(encoded(photograph(), "PNG"), "row 7")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixels_are_counted_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header of a PNG says 13,000 x 13,000; its pixels, 169 million, are never unpacked."""
    header = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    with pytest.raises(DataError, match=r"^row 7: the image is too large .*: 13,000 x 13,000 pixels, .* 100 million"):
        decode(data, "row 7")


def test_a_file_larger_than_any_photograph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(encoded(photograph(), "PNG"))
    monkeypatch.setattr("clipbench.data.images.MAX_BYTES", 100)
    with pytest.raises(DataError, match=r"^a: cannot read .*a\.png: more than 100 bytes$"):
        decode(tmp_path / "a.png", "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_photograph_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    for path in (tmp_path / "fifo.jpg", "/dev/zero"):
        with pytest.raises(DataError, match=r"^a: cannot read .*: not a regular file$"):
            decode(path, "a")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^a: no such image file: .*gone\.jpg$"):
        decode(tmp_path / "gone.jpg", "a")
    with pytest.raises(DataError, match=r"^a: cannot read .*: Is a directory$"):
        decode(tmp_path, "a")
