"""A real terminal, driven through tmux: what a user sees, and the keys that are pressed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from itertools import count

TMUX = shutil.which("tmux")
_NUMBERS = count()
_PATIENCE = 300  # seconds until a screen is given up on: a busy machine is no error


class Terminal:
    """One window of a tmux server of its own, closed with the block.

    Args:
        command: What runs in it.
        width: Columns.
        height: Lines.
        **environment: Further variables.
    """

    def __init__(self, command, width=80, height=24, **environment):
        # A name of its own: a server that is ending may still be there.
        self._tmux = [TMUX, "-L", f"clipbench-{os.getpid()}-{next(_NUMBERS)}", "-f", "/dev/null"]
        variables = [f"{name}={value}" for name, value in environment.items()]
        line = shlex.join(["env", *variables, *map(str, command)])
        # The shell that stays keeps the last screen.
        self._call("new-session", "-d", "-x", str(width), "-y", str(height), f"{line}; echo exit code $?; cat")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call("kill-server", check=False)

    def _call(self, *arguments, check=True):
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    @property
    def screen(self):
        """The lines of the window, without the empty ones at the end."""
        return self._call("capture-pane", "-p").rstrip().splitlines()

    def press(self, *keys):
        self._call("send-keys", *keys)

    def wait_for(self, what):
        """The first screen with a text."""
        return self._wait(lambda screen: any(what in line for line in screen), repr(what))

    def wait_for_motion(self, screens=4):
        """Wait until several different screens were seen."""
        seen = set()

        def moved(screen):
            seen.add("\n".join(screen))
            return len(seen) >= screens

        self._wait(moved, "a screen that moves")

    def _wait(self, is_right, what):
        end = time.monotonic() + _PATIENCE
        while not is_right(screen := self.screen):
            assert time.monotonic() < end, f"no {what} in\n" + "\n".join(screen)
            time.sleep(0.05)
        return screen
