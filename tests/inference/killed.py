"""`clipbench eval` with chunks of two images, killed when a chunk is about to be scored.

python -m tests.inference.killed CHUNKS_SCORED EVAL_ARGUMENTS…

It is the thread that scores which is counted, not those that decode ahead of it: they may be far ahead or hardly,
so that what was scored by then would depend on the machine's load.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from clipbench.cli import main
from clipbench.inference import chunks
from clipbench.inference.scorer import Scorer


def run() -> None:
    kill_after = int(sys.argv[1])
    chunks._CHUNK_IMAGES = 2
    score = Scorer._score
    scored = 0

    def score_or_die(self: Scorer, *arguments: Any) -> chunks.ChunkScores:
        nonlocal scored
        if scored == kill_after and os.environ.get("RANK", "1") == "1":  # of several processes one only
            os.kill(os.getpid(), signal.SIGKILL)
        scored += 1
        return score(self, *arguments)

    Scorer._score = score_or_die  # type: ignore[method-assign]
    main(["eval", *sys.argv[2:]])


if __name__ == "__main__":
    run()
