"""Whatever a file holds, reading it gives rows or an error that says what is wrong: never anything else, nor a wait."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipbench.concepts import load_concept
from clipbench.data import Dataset, open_source
from clipbench.errors import ClipbenchError
from clipbench.task_types.registry import select_tasks

MINE = Dataset("mine", None)
QUICK = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}

TABLE = 'image,caption\na.png,"a dog, black"\nb.png,"[""x"", ""y""]"\n,\n'
LINES = '{"image": "a.png", "caption": ["a dog", null]}\n{"image": null, "caption": {"raw": "x"}}\n'
VALID: dict[str, str] = {
    "t.csv": TABLE,
    "t.tsv": TABLE.replace(",", "\t"),
    "t.jsonl": LINES,
    "t.json": f"[{LINES.strip().replace(chr(10), ',')}]",
    "captions.txt": "image,caption\na.png,a dog\n",
    "results.csv": "image_name| comment_number| comment\na.png| 0| a dog\n",
    "Flickr8k.token.txt": "a.png#0\ta dog\n",
    "results_20130124.token": "a.png#0\ta dog\n",
    "dataset_coco.json": '{"images": [{"filename": "a.png", "split": "test", "sentences": [{"raw": "a dog"}]}]}',
    "captions_val2017.json": '{"images": [{"id": 1, "file_name": "a.png"}], '
    '"annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}]}',
    "sbu-captions-all.json": '{"image_urls": ["http://x/a.png"], "captions": ["a dog"]}',
    "dress_test_detect_all.txt": "a.png\t0.5\ta dog\n",
}

# What readers trip over, more often than chance would bring it.
_TRAPS = [bytes([code]) for code in b"\0\n\r[]{},;|\\\"'"] + [b"\xef\xbb\xbf", b"\xff\xfe"]
_TRAPS += [b"['a', 'b", b"data:image/png;base64,A", b"NaN", b"1e999", b"null", b"\\ud800", b"\\u0000"]
_TRAPS += [b"../", b"/", b"~", b"#0\t", b"file://", b"https://"]
_TEXT = st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass"))
_PIECES = st.one_of(st.binary(max_size=12), _TEXT, st.sampled_from(_TRAPS))
_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), _PIECES), max_size=4)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Content with pieces put in the place of some of its bytes."""
    for place, removed, piece in edits:
        start = int(place * len(content))
        content = content[:start] + piece + content[start + removed :]
    return content


def value_or_error(read: Callable[[], Any], longest: int = 2_500) -> None:
    message = ""
    try:
        read()
    except ClipbenchError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < longest


def read_all(path: Path) -> None:
    for row in open_source(MINE, str(path)).rows():
        assert all(text.encode() is not None for text in row.captions)  # can be tokenized
        for image in row.images:
            assert image.key.encode()  # can be printed
            if not image.missing:
                value_or_error(image.open)


def check(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        value_or_error(lambda: read_all(path))


@pytest.mark.parametrize("name", VALID)
@settings(**QUICK, max_examples=40)
@given(edits=_EDITS)
def test_files_of_captions_with_any_bytes_put_in(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    check(name, edited(VALID[name].encode(), edits))


@pytest.mark.parametrize("name", VALID)
@settings(**QUICK, max_examples=10)
@given(content=st.binary(max_size=60))
def test_files_of_captions_of_any_bytes(name: str, content: bytes) -> None:
    check(name, content)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["raw", "path", "bytes", "x"]), inner),
    max_leaves=6,
)


@settings(**QUICK, max_examples=80)
@given(rows=st.lists(st.fixed_dictionaries({"image": _VALUES, "caption": _VALUES}), min_size=1, max_size=3))
def test_tables_of_any_values(rows: list[dict[str, Any]]) -> None:
    check("t.json", json.dumps(rows).encode())


@pytest.mark.parametrize(
    "layout",
    [
        lambda a, b, c: ("captions_val2017.json", {"images": [{"id": a, "file_name": b}], "annotations": c}),
        lambda a, b, c: ("captions_val2017.json", {"images": a, "annotations": [{"image_id": b, "caption": c}]}),
        lambda a, b, c: ("dataset_coco.json", {"images": [{"filename": a, "split": b, "sentences": c}]}),
        lambda a, b, c: (
            "dataset_coco.json",
            {"images": [{"filename": "a", "filepath": a, "sentences": [{"raw": b}]}]},
        ),
        lambda a, b, c: ("sbu-captions-all.json", {"image_urls": a, "captions": b}),
        lambda a, b, c: ("sbu-captions-all.json", {"image_urls": [a], "captions": [b]}),
    ],
)
@settings(**QUICK, max_examples=30)
@given(a=_VALUES, b=_VALUES, c=_VALUES)
def test_layouts_of_any_values(layout: Callable[..., tuple[str, Any]], a: object, b: object, c: object) -> None:
    name, content = layout(a, b, c)
    check(name, json.dumps(content).encode())


@settings(**QUICK, max_examples=12)
@given(edits=_EDITS)
def test_parquet_with_any_bytes_put_in(edits: list[tuple[float, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.parquet")
        pd.DataFrame({"image": ["a.png", None], "caption": ["a dog", "['a', 'b']"]}).to_parquet(path)
        check("t.parquet", edited(path.read_bytes(), edits))


CONCEPT = "name: c\nmutual: [cat, dog]\nreplacements:\n  big: [small]\nreplacement_only: [dog]\n"
TASK = "name: t\ntask_type: ranking\nconcept: color\ndataset:\n  path: t.csv\n  images: image\nexpected_n: 3\n"
_YAML = [": ", "- ", "\n", "\n  ", "[", "{", "}", "]", "&a ", "*a", "!!int x", "!!python/name:os", "2024-02-30", "0b_"]
_YAML += [
    "'",
    '"',
    "|",
    ">",
    "#",
    "?",
    "%",
    "@",
    "`",
    "\t",
    "~",
    "null",
    "<<: *a",
    "1" * 5_000,
    "[" * 3_000,
    "\ud800",
]
_YAML_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 9), st.one_of(st.sampled_from(_YAML), st.text(max_size=6))), max_size=4
)


@pytest.mark.parametrize("kind", ["concept", "task"])
@settings(**QUICK, max_examples=120)
@given(edits=_YAML_EDITS)
def test_any_text_as_yaml(kind: str, edits: list[tuple[float, int, str]]) -> None:
    pieces = [(place, removed, piece.encode("utf-8", "surrogatepass")) for place, removed, piece in edits]
    content = edited((CONCEPT if kind == "concept" else TASK).encode(), pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.yaml")
        path.write_bytes(content)
        value_or_error(lambda: load_concept(str(path)) if kind == "concept" else select_tasks(str(path), ()), 12_000)


README = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: t.parquet\n---\n# Data\n"


@settings(**QUICK, max_examples=60)
@given(edits=_YAML_EDITS)
def test_any_text_as_the_readme_of_a_copy(edits: list[tuple[float, int, str]]) -> None:
    pieces = [(place, removed, piece.encode("utf-8", "surrogatepass")) for place, removed, piece in edits]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "README.md").write_bytes(edited(README.encode(), pieces))
        Path(folder, "t.parquet").write_bytes(b"")
        value_or_error(lambda: open_source(MINE, folder), 12_000)
