"""Run `clipbench finetune` with the arguments given and end the process, without a word, when a checkpoint is there.

    python benchmarks/stopped_training.py STEP --model demo …

The process ends itself by SIGKILL's exit code as soon as the folder of the checkpoint after STEP steps is whole.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path


def _watch(folder: Path, step: int) -> None:
    while True:
        if any(str(step) in path.name for path in folder.rglob("*") if path.is_dir() and "." not in path.name[:1]):
            os._exit(0)
        time.sleep(0.05)


def main() -> None:
    """Read the arguments, watch, and train."""
    step, arguments = int(sys.argv[1]), sys.argv[2:]
    folder = Path(arguments[arguments.index("--output_path") + 1])
    threading.Thread(target=_watch, args=(folder, step), daemon=True).start()
    from clipbench.cli import main as clipbench

    clipbench(["finetune", *arguments])


if __name__ == "__main__":
    main()
