"""stdout and stderr that are closed, full or read in part: one line at most, and the right exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = f"{sys.executable} -m clipbench"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def shell(line, **environment):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True, cwd=ROOT, check=False, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("ls tasks | head -1 > /dev/null", 0, ""),
        ("ls tasks >&-", 1, "clipbench: error: stdout: cannot be written: it is closed\n"),
        ("ls tasks 2>&- >&-", 1, ""),
        ("ls nothing 2>&-", 2, ""),
        ("yes 'a white cat' | head -100000 | $COMMAND negatives -c color | head -1 > /dev/null", None, ""),
    ],
)
def test_a_closed_stream(line, code, err):
    command = line.replace("$COMMAND", COMMAND) if "$COMMAND" in line else f"{COMMAND} {line}"
    found = shell(command)
    assert (found[0] if code is not None else None, found[2]) == (code, err)


NO_SPACE = "clipbench: error: stdout: cannot be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("ls tasks > /dev/full", 1, NO_SPACE),
        ("ls tasks --format json > /dev/full", 1, NO_SPACE),
        ("--help > /dev/full", 1, "clipbench: error: No space left on device\n"),
        ("ls nothing 2> /dev/full", 2, ""),
    ],
)
def test_a_full_stream(line, code, err):
    found = shell(f"{COMMAND} {line}")
    assert (found[0], found[2]) == (code, err)


def test_a_full_stdout_hides_neither_what_was_saved_nor_what_failed(run, tmp_path, monkeypatch):
    from clipbench.cli import streams
    from clipbench.errors import ResultError

    def full(text, *, err=False):
        if not err:
            raise ResultError("stdout: cannot be written: No space left on device")
        sys.stderr.write(text)

    monkeypatch.setattr("clipbench.cli.console.write", full)
    assert streams.write is not full
    code, _, err = run("eval", "-M", "demo", "-t", "scenes_color", "-L", "3", "-o", tmp_path)
    assert code == 1
    assert f"results in {tmp_path}" in err
    assert err.splitlines()[-1] == "clipbench: error: stdout: cannot be written: No space left on device"


def test_an_encoding_without_the_sign_is_no_error():
    code, out, err = shell(f"{COMMAND} ls concepts", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "concept" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("ls tasks --include_path $'/tmp/\\xff'", "/tmp/?: not UTF-8: rename the file or folder"),
        ("eval --model $'\\xff' --tasks scenes", "?: not UTF-8: rename the file or folder"),
        ("$'\\xff'", "no such command"),
        (f"ls tasks --include_path {'x' * 300}", "File name too long"),
        (f"eval --model demo --tasks {'x' * 300}.yaml", "File name too long"),
        (f"ls tasks --include_path {'x' * 100_000}", " characters) … xxx"),
    ],
    ids=["path", "model", "command", "long", "long task", "screens"],
)
def test_impossible_names(arguments, message):
    code, _, err = shell(f"{COMMAND} {arguments}")
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("clipbench: error: ")
    assert message in err
    assert len(err) < 2000
