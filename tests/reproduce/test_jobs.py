"""Processes that share work tell the first one what happens, whatever becomes of one of them."""

import os
import signal

from clipbench.reproduce.jobs import run_jobs


def _one_is_killed(killed, send):
    number = int(os.environ["CUDA_VISIBLE_DEVICES"])
    send((number, "begun"))
    if number == killed:
        os.kill(os.getpid(), signal.SIGKILL)
    send((number, "ended"))
    return number


def test_events_of_every_job_arrive_and_a_killed_one_stops_nobody(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")  # a job each, which tells them apart
    events = []
    assert run_jobs(3, _one_is_killed, 1, on_event=events.append) == [0, -signal.SIGKILL, 2]
    assert sorted(events) == [(0, "begun"), (0, "ended"), (1, "begun"), (2, "begun"), (2, "ended")]
