"""`clipbench eval` with chunks of two images, killed after some images were decoded.

python -m tests.inference.killed KILL_AFTER EVAL_ARGUMENTS…
"""

from __future__ import annotations

import os
import signal
import sys

from clipbench.cli import main
from clipbench.inference import chunks, images
from clipbench.types import ImageRef


def run() -> None:
    kill_after = int(sys.argv[1])
    chunks._CHUNK_IMAGES = 2
    decode = images.ImageEncoder._decode
    seen = 0

    def decode_or_kill(self: images.ImageEncoder, ref: ImageRef) -> object:
        nonlocal seen
        seen += 1
        if seen > kill_after and os.environ.get("RANK", "1") == "1":  # of several processes one only
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(self, ref)

    images.ImageEncoder._decode = decode_or_kill  # type: ignore[method-assign]
    main(["eval", *sys.argv[2:]])


if __name__ == "__main__":
    run()
