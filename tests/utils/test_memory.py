"""A process's own peak, not that of the one which started it."""

import subprocess
import sys

import pytest

from clipbench.utils.memory import peak_resident_memory

MEGABYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is taken from getrusage")
def test_a_child_does_not_inherit_the_peak():
    block = bytearray(b"\1" * (400 * MEGABYTE))
    ask = "from clipbench.utils.memory import peak_resident_memory as peak; print(peak())"
    child = int(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout)
    assert len(block) < peak_resident_memory()
    assert MEGABYTE < child < 200 * MEGABYTE
