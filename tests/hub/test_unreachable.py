"""A hub that is not there: said within seconds, asked once, and never for names that cannot be on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

MODELS = ["openai/clip-vit-base-patch32", "open_clip:ViT-B-32/openai", "open_clip:hf-hub:laion/CLIP-ViT-B-32"]


class Silent:
    """Accepts connections, counts them, and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.held = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.held.append(self.socket.accept())
            except OSError:
                return


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.socket.close()


@pytest.fixture
def refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def run(command, endpoint, home, **environment):
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_ETAG_TIMEOUT": "3", **environment}
    env.pop("HF_HUB_OFFLINE", None)
    return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=120, check=False)


LOADING = """
import sys, clipbench
for model in sys.argv[1:]:
    try: clipbench.load_model(model)
    except clipbench.errors.ModelError as error: print(error)
"""


def test_models_of_a_silent_hub_fail_after_one_request(silent, tmp_path):
    done = run(["-c", LOADING, *MODELS], silent.address, tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == len(MODELS), done.stderr
    assert all("the hub could not be reached" in line and "there was no answer" in line for line in lines)
    assert done.stderr.splitlines() == [f"clipbench: waiting up to 3 seconds for {silent.address}"]
    assert len(silent.held) == 1


def test_models_of_a_hub_that_refuses(refused, tmp_path):
    done = run(["-c", LOADING, *MODELS], refused, tmp_path)
    assert done.stdout.count("the hub could not be reached") == len(MODELS)
    assert done.stderr == ""


def test_data_of_a_silent_hub(silent, tmp_path):
    done = run(["-m", "clipbench", "validate", "--tasks", "inpaintcoco"], silent.address, tmp_path)
    assert done.returncode == 1
    assert "waiting up to 3 seconds" in done.stderr
    assert "the hub cannot be reached" in done.stdout + done.stderr
    assert "HF_HUB_OFFLINE" not in done.stdout + done.stderr
    assert len(silent.held) == 1


def test_a_name_that_is_known_here_is_never_asked_for(silent, tmp_path):
    command = ["-m", "clipbench", "eval", "--model", "ViT-B-32", "--tasks", "inpaintcoco_color"]
    done = run(command, silent.address, tmp_path)
    assert done.returncode == 2
    assert "did you mean open_clip:ViT-B-32/openai?" in done.stderr
    assert silent.held == []
