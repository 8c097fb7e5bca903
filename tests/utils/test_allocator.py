import subprocess
import sys

import pytest

_SCRIPT = """
import os, platform, sys
from clipbench.utils.allocator import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if "keep" in sys.argv:
    keep_freed_memory()
before = resident()
block = bytearray(200_000_000)
held = resident() - before
del block
print(platform.libc_ver()[0], held, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_freed_block_stays_with_the_process():
    def after(*arguments):
        done = subprocess.run([sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=True)
        library, held, left = done.stdout.split(" ")
        if library != "glibc":
            pytest.skip(f"the C library is {library or 'not glibc'}")
        assert int(held) > 190_000_000
        return int(left)

    assert after() < 20_000_000
    assert after("keep") > 190_000_000
