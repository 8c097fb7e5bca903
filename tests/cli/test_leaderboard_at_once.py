"""Several processes that merge into one board lose nothing."""

import os
import subprocess
import sys

from clipbench.analysis.leaderboard.board import read_board
from tests.analysis.leaderboard.builders import make_results, write

SCRIPT = """
import contextlib, io, sys
from clipbench.analysis.leaderboard import merge  # what takes long is done when the race begins
from clipbench.cli import main
print("ready", flush=True)
sys.stdin.readline()
board, *places = sys.argv[1:]
for place in places:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(["leaderboard", place, "-o", board])
"""


def test_nobody_s_models_are_lost(tmp_path):
    names = [f"m{number:02}" for number in range(18)]
    for number, name in enumerate(names):
        write(tmp_path, make_results(name, weights=f"{number:064}"))
    board = tmp_path / "boards" / "b.json"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(board), *(str(tmp_path / name) for name in names[start::3])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for start in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert set(said.splitlines()) <= {"clipbench: waiting: another process is writing this board"}
    assert sorted(facts.name for facts in read_board(board).models.values()) == names
