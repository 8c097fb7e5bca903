"""Malformed photographs, tables and caption files."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cases import DAMAGES, ODD_VALUES, Case, damage, put, set_inside
from workspace import CAPTIONS, EVAL, FINETUNE, write_table

_OUT = ("-o", "out")
_VALIDATE = ("validate", "--tasks", "toy.yaml", "--format", "json")
_NEGATIVES = ("negatives", "-c", "color", "captions.txt")
_READERS = ((*EVAL, *_OUT), _VALIDATE, (*FINETUNE, *_OUT))


def images(draw: random.Random) -> Iterator[Case]:
    """A photograph that is none, or is one in an unusual way."""
    for name, spoil, expect in (
        *((how, partial(_damage, "img/1.png", how, draw.random()), "refused") for how in ("empty", "half", "noise")),
        *((how, partial(_damage, "img/1.png", how, draw.random()), "either") for how in ("flip", "zeros", "insert")),
        ("text", partial(_put, "img/1.png", b"no picture"), "refused"),
        ("page", partial(_put, "img/1.png", b"<!doctype html><svg/>"), "refused"),
        ("absent", lambda folder: (folder / "img/1.png").unlink(), "refused"),
        ("fifo", lambda folder: _special(folder / "img/1.png", "fifo"), "refused"),
        ("folder", lambda folder: _special(folder / "img/1.png", "folder"), "refused"),
        ("endless device", partial(_link, "img/1.png", "/dev/zero"), "refused"),
        ("random device", partial(_link, "img/1.png", "/dev/urandom"), "refused"),
        ("dangling link", partial(_link, "img/1.png", "nowhere"), "refused"),
        ("link to itself", partial(_link, "img/1.png", "1.png"), "refused"),
        ("60,000 × 60,000", partial(_put, "img/1.png", _png(60_000, 60_000, rows=0)), "refused"),
        ("170 megapixels", partial(_put, "img/1.png", _png(13_000, 13_100, rows=13_100)), "refused"),
        ("1 × 1", partial(_put, "img/1.png", _png(1, 1, rows=1)), "either"),
        ("1 × 60,000", partial(_put, "img/1.png", _png(1, 60_000, rows=60_000)), "either"),
        *(
            (f"as {kind}", partial(_convert, kind), "same")
            for kind in ("BMP", "TIFF", "PPM", "WEBP", "GIF-RGB", "RGBA")
        ),
        *(
            (f"named {name!r}", partial(_rename, name), "same")
            for name in ("a b.png", "é.png", "a|b<b>.png", "\x1b[31mred.png", "n" * 200 + ".png", "%41.png", "#1?.png")
        ),
    ):
        for words in _READERS:
            # `validate` reports gaps, and they are no error. Training goes on from what it counts as missing.
            yield Case("image", name, words, spoil, expect if words[0] == "eval" else "either")
    for name, spoil in (
        ("broken picture", partial(_put, "img/1.png", b"no")),
        ("picture is a fifo", lambda folder: _special(folder / "img/1.png", "fifo")),
    ):
        yield Case(
            "image",
            name,
            ("show", "results/demo", "--tasks", "toy", "--include_path", "toy.yaml", "-o", "sheet.png"),
            spoil,
        )


def tables(draw: random.Random) -> Iterator[Case]:
    """A table as people have them, and as nobody should."""
    for name, spoil, expect in (
        ("BOM", lambda f: _change(f / "toy.csv", lambda t: "\ufeff" + t), "same"),
        ("CRLF", lambda f: _change(f / "toy.csv", lambda t: t.replace("\r\n", "\n").replace("\n", "\r\n")), "same"),
        ("bare LF", lambda f: _change(f / "toy.csv", lambda t: t.replace("\r\n", "\n")), "same"),
        ("no last newline", lambda f: _change(f / "toy.csv", str.rstrip), "same"),
        ("blank lines", lambda f: _change(f / "toy.csv", lambda t: t + "\n\n\n"), "same"),
        ("semicolons", lambda f: write_table(f / "toy.csv", delimiter=";"), "same"),
        ("tabs", lambda f: write_table(f / "toy.csv", delimiter="\t"), "same"),
        ("other separators", lambda f: _change(f / "toy.csv", lambda t: t.replace("img/", "./img/")), "same"),
        ("Windows separators", lambda f: _change(f / "toy.csv", lambda t: t.replace("img/", "img\\")), "same"),
        (
            "absolute paths",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("img/", f"{f.resolve()}/img/")),
            "same",
        ),
        ("file: addresses", lambda f: _change(f / "toy.csv", lambda t: t.replace("img/", f"file://{f}/img/")), "same"),
        ("an index column", lambda f: _change(f / "toy.csv", _indexed), "same"),
        ("spaces in the header", lambda f: _change(f / "toy.csv", lambda t: t.replace("image,", "image ,")), "same"),
        (
            "captions in latin-1",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("white", "whit\u00e9"), "latin-1"),
            "either",
        ),
        ("UTF-16", lambda f: _change(f / "toy.csv", str, "utf-16"), "same"),
        (
            "a column twice",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("image,caption", "caption,caption")),
            "refused",
        ),
        (
            "no such column",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("image,caption", "picture,words")),
            "refused",
        ),
        ("only a header", lambda f: put(f / "toy.csv", "image,caption\n"), "refused"),
        ("NUL bytes", lambda f: _change(f / "toy.csv", lambda t: t.replace("a ", "a\0")), "either"),
        (
            "100,000 columns",
            lambda f: put(f / "toy.csv", ",".join(f"c{n}" for n in range(100_000)) + "\n" + "x," * 99_999 + "x\n"),
            "refused",
        ),
        (
            "a cell of 3 MB",
            lambda f: _change(f / "toy.csv", lambda t: t + "img/1.png,a red " + "x" * 3_000_000 + "\n"),
            "either",
        ),
        ("ragged rows", lambda f: _change(f / "toy.csv", lambda t: t + "img/1.png\nimg/2.png,a,b,c,d\n"), "either"),
        ("an open quote", lambda f: _change(f / "toy.csv", lambda t: t.replace("a red", '"a red')), "either"),
        (
            "empty captions",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("a white dog on the left", "")),
            "either",
        ),
        (
            "base64 images",
            lambda f: _change(f / "toy.csv", lambda t: t.replace("img/1.png", "iVBORw0KGgo" + "A" * 40_000)),
            "refused",
        ),
        ("URLs", lambda f: _change(f / "toy.csv", lambda t: t.replace("img/", "https://example.org/img/")), "refused"),
        ("a fifo", lambda f: _special(f / "toy.csv", "fifo"), "refused"),
        ("a device", lambda f: _link("toy.csv", "/dev/zero", f), "refused"),
        ("a picture", lambda f: put(f / "toy.csv", (f / "img/1.png").read_bytes()), "refused"),
        *((f"damaged: {how}", partial(_damage, "toy.csv", how, draw.random()), "either") for how in DAMAGES),
        *((f"as {suffix}", partial(_as_table, suffix), "same") for suffix in (".jsonl", ".json", ".parquet", ".tsv")),
        *(
            (f"damaged {suffix}: {how}", partial(_as_damaged, suffix, how, draw.random()), "either")
            for suffix in (".jsonl", ".json", ".parquet")
            for how in DAMAGES
        ),
    ):
        for words in _READERS:
            if words[0] == "finetune" and name.startswith(("as ", "damaged .")):
                continue
            yield Case("table", name, words, spoil, expect if words[0] == "eval" else "either")
    for name, content in (
        ("BOM", b"\xef\xbb\xbf"),
        ("NUL", b"a \0white cat\n"),
        ("latin-1", b"a white caf\xe9\n"),
        ("one line of 5 MB", b"white " * 900_000),
        ("escape sequences", b"a white \x1b[31mcat\n"),
        ("noise", draw.randbytes(4000)),
    ):
        yield Case("table", f"captions: {name}", _NEGATIVES, partial(_prepend, "captions.txt", content))
        yield Case("table", f"stdin: {name}", _NEGATIVES[:-1], stdin=content)


def caption_files(draw: random.Random) -> Iterator[Case]:
    """COCO's JSON with odd values, and other JSON."""
    words = ("eval", "--model", "demo", "--tasks", "coco_color", "--data", "coco=coco", "--allow_missing", *_OUT)
    validate = ("validate", "--tasks", "coco_color", "--data", "coco=coco")
    file = "coco/annotations/captions_val2017.json"
    for command in (words, validate):
        for value in ODD_VALUES:
            yield Case(
                "json", f"{str(value)[:20]!r} inside", command, partial(_set_in_json, file, value, draw.random())
            )
        for how in DAMAGES:
            yield Case("json", f"damaged: {how}", command, partial(_damage, file, how, draw.random()))
        for name, content in (
            ("deep", "[" * 100_000),
            ("5,000 digits", '{"images": ' + "9" * 5000 + "}"),
            ("a list", "[]"),
            ("null", "null"),
            ("a lone surrogate", '{"images": [{"id": 0, "file_name": "\\ud800.png"}], "annotations": []}'),
            ("NaN", '{"images": NaN, "annotations": NaN}'),
            ("duplicate keys", '{"images": [], "images": [], "annotations": []}'),
        ):
            yield Case("json", name, command, partial(_put, file, content.encode()), "refused")
        yield Case("json", "an endless photograph", command, partial(_name_image, "/dev/zero"))
        yield Case("json", "a photograph elsewhere", command, partial(_name_image, "../../../etc/passwd"))
        yield Case("json", "two images of one id", command, _repeat_image, "refused")


def _put(place: str, content: bytes, folder: Path) -> None:
    put(folder / place, content)


def _prepend(place: str, content: bytes, folder: Path) -> None:
    put(folder / place, content + (folder / place).read_bytes())


def _damage(place: str, how: str, seed: float, folder: Path) -> None:
    put(folder / place, damage((folder / place).read_bytes(), how, random.Random(seed)))


def _special(path: Path, what: str) -> None:
    path.unlink()
    os.mkfifo(path) if what == "fifo" else path.mkdir()


def _link(place: str, target: str, folder: Path) -> None:
    (folder / place).unlink()
    (folder / place).symlink_to(target)


def _png(width: int, height: int, rows: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj()
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _convert(kind: str, folder: Path) -> None:
    from PIL import Image

    path = folder / "img/1.png"
    image = Image.open(path).convert("RGB")
    file = io.BytesIO()
    if kind == "RGBA":
        image.convert("RGBA").save(file, "PNG")
    elif kind == "GIF-RGB":  # no palette can hold it: an animated PNG of one frame instead
        image.save(file, "PNG", save_all=True)
    else:
        image.save(file, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    put(path, file.getvalue())


def _rename(name: str, folder: Path) -> None:
    (folder / "img/1.png").rename(folder / "img" / name)
    _change(folder / "toy.csv", lambda text: text.replace("img/1.png", f"img/{name}"))


def _change(path: Path, change: Callable[[str], str], encoding: str = "utf-8") -> None:
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    put(path, change(text).encode(encoding))


def _indexed(text: str) -> str:
    lines = text.split("\r\n")
    return "\r\n".join(
        [f",{lines[0]}", *(f"{number},{line}" if line else line for number, line in enumerate(lines[1:]))]
    )


def _as_table(suffix: str, folder: Path) -> None:
    rows = [{"image": f"img/{number}.png", "caption": text} for number, text in enumerate(CAPTIONS)]
    path = folder / f"toy{suffix}"
    if suffix == ".tsv":
        write_table(path, delimiter="\t")
    elif suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) if suffix == ".jsonl" else json.dumps(rows))
    _change(folder / "toy.yaml", lambda text: text.replace("toy.csv", path.name))


def _as_damaged(suffix: str, how: str, seed: float, folder: Path) -> None:
    _as_table(suffix, folder)
    _damage(f"toy{suffix}", how, seed, folder)


def _set_in_json(place: str, value: object, seed: float, folder: Path) -> None:
    data = json.loads((folder / place).read_text())
    set_inside(data, value, random.Random(seed))
    put(folder / place, json.dumps(data))


def _name_image(name: str, folder: Path) -> None:
    path = folder / "coco/annotations/captions_val2017.json"
    put(path, path.read_text().replace('"1.png"', json.dumps(name)))


def _repeat_image(folder: Path) -> None:
    path = folder / "coco/annotations/captions_val2017.json"
    put(path, path.read_text().replace('{"id": 2, "file_name"', '{"id": 1, "file_name"'))
