"""How much memory this process has used."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path


def peak_resident_memory() -> int | None:
    """The most bytes of main memory that this process has had at once; None where that is not known (Windows).

    On Linux the kernel is asked for the peak of the present program: ``ru_maxrss`` survives ``exec``, so that a child's
    begins at that of the process which started it.
    """
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
