"""How the C library's allocator treats large blocks."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
_LARGEST: Final = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, instead of returning every large block to the kernel.

    Activations of a batch are blocks of many megabytes. By default, glibc asks the kernel for each of them, and the
    kernel fills it with zeros page by page, which takes convolutional networks on a CPU half of their time. The memory
    of the process stays at its maximum. With other C libraries nothing is changed.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP_MAX, 0)
            mallopt(_TRIM_THRESHOLD, _LARGEST)
