"""Any text in: a value or a one-line ConfigError out."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from clipbench.errors import ClipbenchError, ConfigError
from clipbench.utils.yaml import parse_yaml, read_yaml

PIECES = [
    "a: ", "b: ", "- ", "  ", "\n", "[", "]", "{", "}", "&x ", "*x", "<<: ", "!!int ", "!!timestamp ", "!!binary ",
    "!!set ", "!!omap ", "!!pairs ", "!!float ", "!!bool ", "!!null ", "!foo ", "2024-02-30", "0b_", "1_", "9" * 400,
    "1:99:99", ".nan", "'", '"', "\\ud800", "\\0", "? ", ": ", "|\n", ">\n", "%YAML 9.9\n", "---\n", "...\n", "#", "=",
    "\t", "\x00", "\ufeff", "\x85", "0x", "é",
]  # fmt: skip


class Place(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str
    split: str = "test"
    columns: list[str] | str = []


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern="^[a-z]+$")
    expected_n: int | None = Field(None, ge=1)
    place: Place
    words: dict[str, list[str]] = {}


def written(folder, text):
    file = folder / "file.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def complaint(read, *arguments):
    with pytest.raises(ConfigError) as caught:
        read(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def outcome(read, *arguments):
    try:
        return read(*arguments)
    except ClipbenchError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.binary(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_is_a_value_or_an_error_in_one_line(tmp_path_factory, text):
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    file = written(tmp_path_factory.mktemp("yaml"), content)
    found = [outcome(read_yaml, file), outcome(parse_yaml, file, File)]
    for error in (one for one in found if isinstance(one, ClipbenchError)):
        assert str(error).startswith(f"{file}")
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: 1\nb: !!timestamp 2024-02-30\n", 2, "2024-02-30"),
        ("a: !!int foo\n", 1, "foo"),
        ("\na: 0b_\n", 2, "0b_"),
        ("a: " + "9" * 5000, 1, "number"),
        ("a: " + "9" * 400, 1, "number"),
        ("a: " + "1:" * 30 + "1", 1, "number"),
        ("a: !!binary é", 1, "base64"),
        ("[" * 3000, 1, "nested"),
        ("a: " + "[" * 3000 + "]" * 3000, 1, "nested"),
        ("- " * 3000, 1, "nested"),
        ('a: "\\ud800"', 1, "character"),
        ('a: "x\\0y"', 1, "character"),
        ("a: 1\nb: x\0y\n", 2, "#x0000"),
        ("a: !python/name:os.system\n", 1, "!python/name:os.system"),
        ("a: [1\nb: 2\n", 2, "expected ',' or ']'"),
        ("a: 1\n---\nb: 1\n", 2, "single document"),
        ("a: *nowhere\n", 1, "nowhere"),
        ("{[1]: 2}\n", 1, "key"),
    ],
)
def test_what_cannot_be_a_value_is_named_with_its_line(tmp_path, text, line, what):
    file = written(tmp_path, text)
    message = complaint(read_yaml, file)
    assert message.startswith(f"{file}:{line}: ")
    assert what in message.removeprefix(str(file))
    assert len(message) < 300 + len(str(file))


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a'"),
        ("x:\n  a: 1\n  'a': 3\n", 3, "'a'"),
        ("x: {1: a, 0x1: b}\n", 1, "'0x1'"),
        ("- {yes: 1,\n   true: 2}\n", 2, "'true'"),
    ],
)
def test_a_key_that_comes_twice_is_refused(tmp_path, text, line, key):
    file = written(tmp_path, text)
    assert complaint(read_yaml, file).startswith(f"{file}:{line}: key {key} comes twice (first in line ")


def test_merged_keys_may_be_overridden(tmp_path):
    text = "base: &base {a: 1, b: 2}\nmore: &more {<<: *base, a: 3}\nlast: {<<: *more, b: 4}\n"
    assert read_yaml(written(tmp_path, text)) == {
        "base": {"a": 1, "b": 2}, "more": {"a": 3, "b": 2}, "last": {"a": 3, "b": 4},
    }  # fmt: skip
    text = "a: &a {k: 1, x: 1}\nb: &b {k: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n"
    assert read_yaml(written(tmp_path, text))["c"] == {"k": 1, "x": 1, "y": 2, "z": 3}  # the first of several counts
    assert "only a mapping" in complaint(read_yaml, written(tmp_path, "<<: [1]\n"))


def test_aliases_that_explode_or_contain_themselves_are_refused(tmp_path):
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "aliases" in complaint(read_yaml, written(tmp_path, laughs))
    assert "contains itself" in complaint(read_yaml, written(tmp_path, "a: &a [*a]\n"))
    assert read_yaml(written(tmp_path, "a: &a [x]\nb: *a\n")) == {"a": ["x"], "b": ["x"]}


def test_a_date_is_text(tmp_path):
    """A revision may be named for its day; YAML 1.1 would make it an object that nothing here takes."""
    assert read_yaml(written(tmp_path, "revision: 2024-02-29\n")) == {"revision": "2024-02-29"}


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    assert "cannot be read" in complaint(read_yaml, tmp_path / "nowhere.yaml")
    assert "directory" in complaint(read_yaml, tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.yaml")
        assert "not a regular file" in complaint(read_yaml, tmp_path / "fifo.yaml")
    assert "bytes" in complaint(read_yaml, written(tmp_path, "#" * 20_000_000))
    assert "too long" in complaint(read_yaml, tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nexpectedn: 3\nplace: {path: x}\n", "2: expectedn: unknown key (did you mean expected_n?); keys are"),
        (
            "name: a\nplace:\n  path: x\n  splitt: y\n",
            "4: place.splitt: unknown key (did you mean split?); keys are path, ",
        ),
        ("name: a\n", "1: place: this key is missing"),
        ("name: a\nplace: {}\n", "2: place.path: this key is missing"),
        ("name: a b\nplace: {path: x}\n", "1: name: must be of the form ^[a-z]+$, not 'a b'"),
        ("name: a\nexpected_n: five\nplace: {path: x}\n", "2: expected_n: must be a whole number, not 'five'"),
        ("name: a\nexpected_n: 1.5\nplace: {path: x}\n", "2: expected_n: must be a whole number, not 1.5"),
        ("name: a\nexpected_n: -5\nplace: {path: x}\n", "2: expected_n: must be greater than or equal to 1, not -5"),
        ("name: a\nplace: x.csv\n", "2: place: must be a mapping of keys to values, not 'x.csv'"),
        ("name: a\nplace: {path: 3}\n", "2: place.path: must be text, not 3"),
        ("name: a\nplace: {path: x, columns: 3}\n", "2: place.columns: must be a list or text, not 3"),
        ("name: a\nplace: {path: x}\nwords: {b: [1]}\n", "3: words.b.0: must be text, not 1"),
        ("name: a\nplace: {path: x}\nwords: {1: [x]}\n", "3: words.1: a key must be text, not 1"),
    ],
)
def test_an_invalid_file_is_explained_in_plain_words(tmp_path, text, message):
    file = written(tmp_path, text)
    found = complaint(parse_yaml, file, File)
    assert found.startswith(f"{file}:{message}")
    assert "nput" not in found


def test_a_long_value_is_shortened(tmp_path):
    assert len(complaint(parse_yaml, written(tmp_path, f"name: {'A' * 100_000}\nplace: {{path: x}}\n"), File)) < 400
