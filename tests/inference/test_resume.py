import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipbench.cli import main
from clipbench.errors import ConfigError
from clipbench.inference import chunks
from clipbench.inference.chunks import ChunkScores
from clipbench.inference.images import ImageEncoder
from clipbench.inference.journal import Journal
from clipbench.task_types import RankingTask
from clipbench.types import SampleError
from tests.toy import write_toy

ROOT = Path(__file__).parents[2]
COLORS = ["red", "green", "blue", "white", "black", "brown", "gray", "yellow", "orange", "red"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    captions = [f"a {color} thing, number {number}" for number, color in enumerate(COLORS)]
    ranking = write_toy(folder, captions)
    return f"{ranking},{write_toy(folder, captions, name='toy_retrieval', task_type='retrieval', concept=None)}"


def arguments(tiny_clip, toy, out):
    words = ["--model", tiny_clip, "--tasks", toy, "--output_path", out, "--log_samples", "--num_workers", 1]
    return [str(word) for word in words]


def kill(chunks_scored, words):
    """Run in chunks of two images in a process of its own, which is killed after some of them."""
    command = [sys.executable, "-m", "tests.inference.killed", str(chunks_scored)]
    ended = subprocess.run([*command, *words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.fixture(scope="module")
def killed(tiny_clip, toy, tmp_path_factory):
    """What a run left that was killed in its third chunk of two images."""
    out = tmp_path_factory.mktemp("killed") / "out"
    kill(2, arguments(tiny_clip, toy, out))
    return out


@pytest.fixture
def run(tiny_clip, toy, tmp_path, monkeypatch, capsys):
    """Run in chunks of two images; returns the folder, the images decoded, and stderr."""
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 2)

    def call(*further, left=None, toy=toy):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        if left:
            shutil.copytree(left, out)
        decoded = []
        with monkeypatch.context() as patched:
            decode = ImageEncoder._decode
            patched.setattr(ImageEncoder, "_decode", lambda self, ref: decoded.append(ref.key) or decode(self, ref))
            with pytest.raises(SystemExit) as caught:
                main(["eval", *arguments(tiny_clip, toy, out), *further])
        err = capsys.readouterr().err
        assert not caught.value.code, err
        return out, decoded, err

    return call


def read(out):
    """Results without times, sample lines without scores, and scores."""
    (folder,) = out.iterdir()
    (results,) = folder.glob("results_*.json")
    found = json.loads(results.read_text())
    for key in ("date", "total_evaluation_time_seconds"):
        del found[key]
    for report in found["tasks"].values():
        del report["seconds"]
    lines = [json.loads(line) for path in sorted(folder.glob("samples_*")) for line in path.read_text().splitlines()]
    scores = [line.pop("scores") for line in lines]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")], "nothing half-done is left"
    return found, lines, scores


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_files(run, killed):
    expected = read(run()[0])
    out, decoded, err = run(left=killed)
    assert "resuming the unfinished run" in err
    # It was killed before its third chunk was scored; the retrieval task needs the first images once more.
    assert decoded == [f"{number}.png" for number in (4, 5, 6, 7, 8, 9, 0, 1, 2, 3)]
    results, lines, scores = read(out)
    assert results == expected[0]
    assert lines == expected[1]
    assert len(lines) == 10 + 10 + 10
    for found, one in zip(scores, expected[2], strict=True):
        np.testing.assert_allclose(found, one, atol=1e-6)


@pytest.mark.parametrize("flags", [["--no_resume"], ["--limit", "10"], ["--batch_size", "3"]])
def test_a_run_begins_anew_where_it_should_or_is_another(run, killed, flags):
    _, decoded, err = run(*flags, left=killed)
    assert "resuming" not in err
    assert decoded == [f"{number}.png" for number in range(10)]


def test_images_that_were_exchanged_or_mended_meanwhile_are_scored_as_they_are_now(run, tiny_clip, tmp_path):
    folder = tmp_path / "data"
    toy = write_toy(folder, [f"a {color} thing, number {number}" for number, color in enumerate(COLORS)])
    whole = (folder / "1.png").read_bytes()
    for broken in ("1.png", "7.png"):
        (folder / broken).write_bytes(whole[:50])
    out = tmp_path / "left"
    kill(4, [*arguments(tiny_clip, toy, out), "--allow_missing"])
    (folder / "1.png").write_bytes(whole)
    times = (folder / "2.png").stat().st_mtime_ns, (folder / "4.png").stat().st_mtime_ns
    second, fourth = (folder / "2.png").read_bytes(), (folder / "4.png").read_bytes()
    (folder / "2.png").write_bytes(fourth)
    (folder / "4.png").write_bytes(second)
    for name, time in zip(("2.png", "4.png"), times, strict=True):  # neither sizes nor times tell
        os.utime(folder / name, ns=(time, time))
    found, decoded, err = run("--allow_missing", left=out, toy=toy)
    # Of the four chunks that were done, the fourth alone has the images it had, 7.png as broken as it was.
    assert decoded == [f"{number}.png" for number in (0, 1, 2, 3, 4, 5, 8, 9)]
    assert err.count("images have changed") == 1
    results, lines, scores = read(found)
    expected = read(run("--allow_missing", toy=toy)[0])
    assert (results, lines) == expected[:2]
    assert (results["tasks"]["toy_color"]["broken_images"], len(lines)) == (1, 9)
    for one, right in zip(scores, expected[2], strict=True):
        np.testing.assert_allclose(one, right, atol=1e-6)


def test_an_interrupted_run_can_be_gone_on_with(run, monkeypatch, tiny_clip, toy, tmp_path, capsys):
    out = tmp_path / "left"
    score_sample, judged = RankingTask.score_sample, []

    def interrupted(self, sample, similarities):
        judged.append(sample)
        if len(judged) > 4:
            raise KeyboardInterrupt
        return score_sample(self, sample, similarities)

    with monkeypatch.context() as patched:
        patched.setattr(RankingTask, "score_sample", interrupted)
        with pytest.raises(SystemExit) as caught:
            main(["eval", *arguments(tiny_clip, toy, out)])
    assert caught.value.code == 130
    _, decoded, err = run(left=out)
    assert "resuming the unfinished run" in err
    assert decoded[0] == "6.png"


SCORES = ChunkScores(
    [np.float32([[0.1, -0.5]]), SampleError("s", "i.png", "bröken"), np.ones((3, 1), np.float32)],
    2,
    b"content",
    {"i.png": "bröken"},
)
KEY, OTHER = b"k" * 16, b"o" * 16


def journal(folder, identity=None, resume=True, notes=None):
    return Journal(folder, identity or {"a": 1}, resume=resume, on_note=(notes if notes is not None else []).append)


def test_what_is_written_is_read(tmp_path):
    first = journal(tmp_path)
    first.write(KEY, SCORES)
    first.write(OTHER, ChunkScores([], 0, b"other"))
    first.write(b"n" * 16, ChunkScores([], 0))
    first.close()
    second = journal(tmp_path)
    assert second.known == {KEY: (b"content", {"i.png": "bröken"}), OTHER: (b"other", {})}, "of known images alone"
    assert second.started == first.started
    found = second.read(KEY)
    assert found.truncated_texts == 2
    assert found.items[1] == SCORES.items[1]
    for index in (0, 2):
        assert found.items[index].dtype == np.float32
        np.testing.assert_array_equal(found.items[index], SCORES.items[index])
    assert second.read(OTHER) == ChunkScores([], 0, b"other")
    second.finish()
    assert list(tmp_path.iterdir()) == []


def damaged(content, cut):
    yield from (content[:length] for length in range(0, len(content), 7))
    for place in range(0, len(content), 5):
        yield content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]
    yield content + b"\x00" * cut
    yield b"garbage" * 50


def test_a_journal_that_is_torn_or_damaged_anywhere_is_never_believed(tmp_path):
    first = journal(tmp_path)
    first.write(KEY, SCORES)
    first.write(OTHER, SCORES)
    first.close()
    (path,) = tmp_path.glob("*.journal")
    for content in damaged(path.read_bytes(), 30):
        path.write_bytes(content)
        second = journal(tmp_path)
        assert set(second.known) in ({KEY, OTHER}, {KEY}, set())
        for key in second.known:
            np.testing.assert_array_equal(second.read(key).items[0], SCORES.items[0])
        second.write(b"n" * 16, SCORES)
        second.close()
        third = journal(tmp_path)
        assert set(third.known) == {*second.known, b"n" * 16}
        third.close()


def test_the_very_same_run_twice_at_once_has_one_journal(tmp_path):
    first = journal(tmp_path)
    with pytest.raises(ConfigError, match="another process is already running"):
        journal(tmp_path)
    journal(tmp_path, {"another": "run"}).close()
    first.close()
    journal(tmp_path).close()


def test_a_full_disk_is_said_once_and_the_run_goes_on(tmp_path, monkeypatch):
    notes = []
    full = journal(tmp_path, notes=notes)

    def refuse(payload):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(full, "_append", refuse)
    full.write(KEY, SCORES)
    full.write(OTHER, SCORES)
    (note,) = notes
    assert "No space left on device" in note
    full.finish()
