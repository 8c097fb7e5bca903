"""How long a board of many result files takes: `python benchmarks/many_results.py RESULTS.json [--files 10000]`.

The file, of any evaluation, is copied under as many names and weights into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import clipbench


def main() -> None:
    """Write the copies, build the board, print the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    found = json.loads(options.results.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.files):
            found["model_name"] = found["model_name_sanitized"] = found["config"]["model"] = f"model-{number}"
            found["model_fingerprint"] = f"{number:064x}"
            Path(folder, f"results_{number}.json").write_text(json.dumps(found))
        started, cpu = time.perf_counter(), time.process_time()
        board = clipbench.build_leaderboard([folder])
        seconds, processor = time.perf_counter() - started, time.process_time() - cpu
    print(f"{options.files:,} files, {len(board.scores):,} scores: {seconds:.1f} s, {processor:.1f} s of processor")


if __name__ == "__main__":
    main()
