"""The command as a process of its own: how it ends, by Ctrl-C and by force, and what is there afterwards."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from tests.annotate.server.serving import Client

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@contextmanager
def served(folder, *flags):
    options = ["--data", "scenes=12", "--concept", "color", "--output_path", str(folder), "--no_browser", *flags]
    process = subprocess.Popen(
        [sys.executable, "-m", "clipbench", "annotate", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_ends_it_in_good_order_and_a_taken_port_is_one_line(tmp_path):
    with served(tmp_path / "set") as (process, address):
        client = Client(address)
        client.post("/api/next")
        with served(tmp_path / "other", "--port", str(client.port)) as (second, _):
            assert second.wait(60) == 2
            error = second.stderr.read().splitlines()[-1]
            assert error.endswith(
                f"--port {client.port}: Address already in use: give another one, or 0 for any free one"
            )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


def test_what_was_confirmed_before_sigkill_is_there_and_the_next_server_goes_on(tmp_path):
    with served(tmp_path / "set") as (process, address):
        client = Client(address)
        item = client.post("/api/next")
        client.post(f"/api/items/{item['id']}/use", {"caption": 0})
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with Store(tmp_path / "set") as store:
        pair = Session(store, "Ada").pair(item["id"])
        assert (pair.step, pair.caption) == ("mask_prompt", item["captions"][0]["text"])
    with served(tmp_path / "set") as (_, address):
        again = Client(address, browser="b2").post("/api/next")
        assert (again["id"], again["step"]) == (item["id"], "mask_prompt")
