"""The ``hub`` fixture, and client processes that talk to it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from .server import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty hub that listens."""
    hub = Hub()
    hub.up()
    yield hub
    hub.down()


def run_python(code: str, env: Mapping[str, str], *, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, which reads its settings from ``env`` as it imports."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=timeout, check=False)


def ask_python(code: str, env: Mapping[str, str]) -> Any:
    """Run code that ends by printing one line of JSON, and return what it says."""
    client = run_python(code, env)
    assert client.returncode == 0, client.stderr
    return json.loads(client.stdout.splitlines()[-1])
