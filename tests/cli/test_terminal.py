"""The live display in a real terminal, while a run is held at known points."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.terminal import TMUX, Terminal

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(TMUX is None, reason="needs tmux")

# Waits where HOLD says, for a file of that name; in chunks of a dozen samples.
DRIVER = """
import os, sys, time
from pathlib import Path
import clipbench.models
from clipbench.cli import main
from clipbench.cli.console import note
from clipbench.inference import chunks
from clipbench.inference.profile import Profile

chunks._CHUNK_TEXTS = 100
hold, counted, load, count = os.environ["HOLD"].split(), 0, clipbench.models.load_model, Profile.count

def wait(name):
    while name in hold and not Path(name).exists():
        time.sleep(0.02)

def slow_load(*arguments, **options):
    wait("loading")
    return load(*arguments, **options)

def slow_count(self, **counts):
    global counted
    count(self, **counts)
    counted += 1
    wait("first")
    if counted == 6:
        note("a note of several words that is longer than a line of this terminal, which has 80 columns")
        wait("sixth")

clipbench.models.load_model, Profile.count = slow_load, slow_count
main()
"""


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)

    def start(hold, *arguments):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, tmp_path / "driver.py", *arguments]
        return Terminal(["env", "-C", tmp_path, *command], PYTHONPATH=path, HOLD=hold, TERM="screen")

    return start


def count_of(screen):
    """Samples done, and in all."""
    (found,) = re.findall(r"([\d,]+)/(\d+)", "\n".join(screen))
    return tuple(map(int, found))


def test_something_always_moves_and_an_interrupted_run_resumes(terminal, tmp_path):
    run = ["eval", "--model", "demo", "--tasks", "scenes_color", "--limit", "60", "--output_path", "out"]
    with terminal("loading first sixth", *run) as window:
        window.wait_for("loading model demo")
        window.wait_for_motion()
        (tmp_path / "loading").touch()
        screen = window.wait_for(" encoded")
        assert "scenes_color" in screen[-2]
        assert re.search(r"\d+ (images|texts) encoded", screen[-1])
        assert 0 < count_of(screen)[0] < 60  # of a chunk that is not finished
        window.wait_for_motion()
        (tmp_path / "first").touch()
        screen = window.wait_for("80 columns")
        window.wait_for_motion()
        screen = window.screen
        place = next(number for number, line in enumerate(screen) if line.startswith("clipbench: a note"))
        assert "".join(screen[place : place + 2]).endswith("which has 80 columns")
        assert screen.index(next(line for line in screen if "/60" in line)) > place + 1
        done, total = count_of(screen)
        assert 0 < done < total == 60
        window.press("C-c")
        screen = window.wait_for("exit code 130")
        text = "".join(screen)
        assert "interrupted before a task was finished; run the same command again to resume" in text
        assert "/60" not in text.replace("0/60", "")  # the bar is gone
    (tmp_path / "first").unlink()
    with terminal("first", *run) as window:
        screen = window.wait_for("/60")
        assert 0 < count_of(screen)[0] <= done
        assert "resuming the unfinished run" in "".join(screen)
        (tmp_path / "first").touch()
        screen = window.wait_for("exit code 0")
        text = "\n".join(screen)
        assert "scenes_color" in text
        assert "…" not in text
        assert "acc_balanced" in text
