"""Run `clipbench finetune` with the arguments given, and end the process when the first checkpoint is there.

    python benchmarks/stopped_training.py --model demo … --output_path OUT

The process ends at once, without cleaning up, with exit code 3.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

STOPPED = 3


def _watch(folder: Path) -> None:
    while not any(folder.glob("checkpoint-*/*.json")):
        time.sleep(0.01)
    os._exit(STOPPED)


def main() -> None:
    """Watch the output folder, and train."""
    arguments = sys.argv[1:]
    folder = Path(arguments[arguments.index("--output_path") + 1])
    threading.Thread(target=_watch, args=(folder,), daemon=True).start()
    from clipbench.cli import main as clipbench

    clipbench(["finetune", *arguments])


if __name__ == "__main__":
    main()
