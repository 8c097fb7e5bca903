"""What anybody sees first: the demo model on the scenes from the shell to the table, one task of it, and the import.

    python benchmarks/start.py [--rounds 3] [--limit 20] [--json FILE]

Each round: `clipbench eval --model demo --tasks scenes` with an empty home, the same again, one task whole and with
--limit, and `import clipbench` less what Python itself takes. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.figures import JSON_FLAG, Figure, write_figures

DEMO = ("-m", "clipbench", "eval", "--model", "demo", "--tasks")
TARGETS = {"scenes, first run": 20.0, "one task, limited": 5.0, "import clipbench": 0.05}


def seconds(arguments: Sequence[str], home: Path) -> float:
    """Wall time of Python with some arguments, its caches in a folder.

    Raises:
        CalledProcessError: It failed.
    """
    own = {"HOME": home, "USERPROFILE": home, "HF_HOME": home / "hf", "XDG_CACHE_HOME": home / "cache"}
    environment = {**os.environ, **{name: str(folder) for name, folder in own.items()}, "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, cwd=home, check=True, capture_output=True)
    return time.perf_counter() - started


def one_round(home: Path, limit: int) -> dict[str, float]:
    """Seconds of each thing that is measured."""
    found = {"scenes, first run": seconds([*DEMO, "scenes"], home)}
    found["scenes, second run"] = seconds([*DEMO, "scenes"], home)
    found["one task, whole"] = seconds([*DEMO, "scenes_color"], home)
    found["one task, limited"] = seconds([*DEMO, "scenes_color", "--limit", str(limit)], home)
    imports, nothing = (
        statistics.median(seconds(["-c", code], home) for _ in range(5)) for code in ("import clipbench", "pass")
    )
    found["import clipbench"] = imports - nothing
    return found


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=20, help="samples of the limited task")
    parser.add_argument("--json", **JSON_FLAG)
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as home:
            rounds.append(one_round(Path(home), options.limit))
    figures = [
        Figure(name, statistics.median(each[name] for each in rounds), "s", target=TARGETS.get(name))
        for name in rounds[0]
    ]
    for figure in figures:
        print(f"{figure.name}: {figure.value:.3f} s" + (f" (target < {figure.target:g})" if figure.target else ""))
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
