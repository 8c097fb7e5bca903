import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clipbench.errors import ResultError
from clipbench.utils.files import (
    atomic_directory,
    atomic_write,
    atomic_writer,
    local_path,
    lock,
    open_regular,
    open_regular_text,
    read_regular,
    remove_parts,
    require_regular,
)

HOLD = """
import sys
from pathlib import Path
from clipbench.utils.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

DIE = """
import os, sys
from pathlib import Path
from clipbench.utils.files import atomic_directory, atomic_writer
folder = Path(sys.argv[1])
with atomic_writer(folder / "file_1"), atomic_directory(folder / "file_2"):
    os._exit(9)
"""


class Busy(Exception):
    pass


def refuse():
    raise Busy


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("data", ["ä\nb\n", b"\xff\0\r\n"])
def test_a_file_is_written_and_written_over(tmp_path, data):
    atomic_write(tmp_path / "file", "old")
    atomic_write(tmp_path / "file", data)
    content = (tmp_path / "file").read_bytes()
    assert content == (data.encode() if isinstance(data, str) else data)
    assert names(tmp_path) == ["file"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    atomic_write(tmp_path / "ours", "")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_the_old_file_survives_a_full_disk(tmp_path, request):
    atomic_write(tmp_path / "file", "old")
    request.getfixturevalue("full_disk")
    with pytest.raises(ResultError, match="file: cannot be written: No space left on device"):
        atomic_write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_file_in_a_missing_directory_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="cannot be written: No such file"):
        atomic_write(tmp_path / "missing" / "file", "new")


def test_pieces_appear_together_when_the_block_ends(tmp_path):
    with atomic_writer(tmp_path / "file") as write:
        write("a")
        assert not (tmp_path / "file").exists()
        write(b"b")
    assert (tmp_path / "file").read_text() == "ab"


def test_errors_of_the_block_pass_and_leave_nothing(tmp_path):
    with pytest.raises(OSError, match="^mine$"), atomic_writer(tmp_path / "file") as write:  # noqa: PT012
        write("a")
        raise OSError("mine")
    assert names(tmp_path) == []


def test_many_writers_of_one_file(tmp_path):
    texts = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: atomic_write(tmp_path / "file", text), texts * 4))
    assert (tmp_path / "file").read_text() in texts
    assert names(tmp_path) == ["file"]


def test_a_directory_appears_whole_and_is_replaced_whole(tmp_path):
    target = tmp_path / "parent" / "target"
    for name in ("first", "second"):
        with atomic_directory(target) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / name).write_text(name)
            assert not (target / "sub" / name).exists()
        assert names(target / "sub") == [name]
    assert names(tmp_path / "parent") == ["target"]


def test_the_old_directory_survives_a_failed_block(tmp_path, request):
    with atomic_directory(tmp_path / "target") as folder:
        (folder / "file").write_text("old")
    with pytest.raises(KeyError), atomic_directory(tmp_path / "target"):
        raise KeyError
    request.getfixturevalue("full_disk")
    with pytest.raises(ResultError, match="target: cannot be written: No space"):  # noqa: SIM117
        with atomic_directory(tmp_path / "target") as folder:
            (folder / "file").write_text("new")
    assert (tmp_path / "target" / "file").read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_a_directory_may_be_put_in_place_in_another_way(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").touch()

    def merge(new, path):
        for file in new.iterdir():
            os.replace(file, path / file.name)

    with atomic_directory(tmp_path / "target", merge) as folder:
        (folder / "added").touch()
    assert names(tmp_path / "target") == ["added", "mine"]
    assert names(tmp_path) == ["target"]


def test_what_killed_processes_left_is_removed(tmp_path):
    subprocess.run([sys.executable, "-c", DIE, tmp_path], check=False)
    atomic_write(tmp_path / "kept", "")
    assert len(names(tmp_path)) == 3
    remove_parts(tmp_path, "other*")
    assert len(names(tmp_path)) == 3
    remove_parts(tmp_path, "file_1*")
    assert len(names(tmp_path)) == 2
    remove_parts(tmp_path)
    assert names(tmp_path) == ["kept"]


def test_a_lock_is_held_against_another_process_and_goes_with_it(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy), lock(path, refuse):
            pass
        other.kill()
        other.wait()
    with lock(path, refuse):
        pass


def test_a_lock_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        noted = []
        with lock(path, lambda: noted.append("waiting") or other.stdin.close()):
            assert noted == ["waiting"]


def test_a_lock_in_a_place_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ResultError, match=r"lock: cannot be locked: .*; use a directory on a local disk"),
        lock(tmp_path / "file" / "lock"),
    ):
        pass


needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")


@needs_fifo
@pytest.mark.parametrize("read", [open_regular, open_regular_text, read_regular, require_regular])
def test_only_regular_files_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")  # opening it the plain way waits for a writer
    for path, reason in [
        (tmp_path / "fifo", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "gone", "No such file"),
        ("a\0b", "no valid file name"),
        ("a\ud800b", "no valid file name"),
    ]:
        with pytest.raises(OSError, match=reason):
            read(path)


def test_a_regular_file_is_read_up_to_a_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfabc")
    assert read_regular(tmp_path / "a", 6) == b"\xef\xbb\xbfabc"
    with pytest.raises(OSError, match="more than 5 bytes"):
        read_regular(tmp_path / "a", 5)
    with open_regular_text(tmp_path / "a") as file:
        assert file.read() == "abc"


def test_paths_as_people_write_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert local_path("~/a.csv") == tmp_path / "a.csv"
    assert local_path((tmp_path / "ä b.csv").as_uri()) == tmp_path / "ä b.csv"
    assert str(local_path("~nobody-of-this-name/a")) == "~nobody-of-this-name/a"


def test_a_name_that_is_no_utf8_can_be_written_and_read_back(tmp_path):
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    atomic_write(tmp_path / "a.json", json.dumps({"image": name}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"image": name}
