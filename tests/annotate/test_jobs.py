"""The queue: one worker, results kept, crashes told."""

import threading

import pytest

from clipbench.annotate.jobs import Cancelled, Jobs
from clipbench.errors import ConfigError, DataError

LONG = 20  # seconds, until a hang is a failure


class Gate:
    """Work that yields one result for every pass."""

    def __init__(self, results=1):
        self.started, self.passes, self.results = threading.Event(), threading.Semaphore(0), results

    def __call__(self, on_step, cancelled):
        self.started.set()
        for result in range(self.results):
            on_step(result, self.results)
            assert self.passes.acquire(timeout=LONG)
            if cancelled():
                raise Cancelled
            yield result
        on_step(self.results, self.results)


@pytest.fixture
def jobs():
    queue = Jobs()
    yield queue
    queue.close(timeout=LONG)


def raising(error):
    def work(on_step, cancelled):
        yield 1
        raise error

    return work


def test_results_are_stored_as_they_come_and_before_the_job_is_done(jobs):
    stored, gate = [], Gate(2)
    job = jobs.submit("paint", gate, stored.append)
    gate.passes.release(2)
    job = jobs.wait(job.id, LONG)
    assert (job.state, job.step, job.steps, job.stored, job.error) == ("done", 2, 2, 2, "")
    assert stored == [0, 1]
    assert job.over
    assert job.seconds_left is None


def test_one_after_another(jobs):
    order, first, second = [], Gate(), Gate()
    one = jobs.submit("one", first, lambda _: order.append("one"))
    two = jobs.submit("two", second, lambda _: order.append("two"))
    assert first.started.wait(LONG)
    assert jobs.get(one.id).state == "running"
    assert (jobs.get(two.id).state, jobs.get(two.id).ahead) == ("waiting", 1)
    assert not second.started.is_set()
    second.passes.release()
    first.passes.release()
    jobs.wait(two.id, LONG)
    assert order == ["one", "two"]


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_at_its_next_step(jobs):
    stored, first, second = [], Gate(3), Gate()
    one, two = jobs.submit("one", first, stored.append), jobs.submit("two", second, stored.append)
    assert first.started.wait(LONG)
    assert jobs.cancel(two.id).state == "cancelled"
    first.passes.release()
    jobs.cancel(one.id)
    first.passes.release(2)
    assert jobs.wait(one.id, LONG).state == "cancelled"
    assert not second.started.is_set()
    assert jobs.get(one.id).stored == len(stored)  # what was painted before stays


def test_cancelling_what_is_done_changes_nothing(jobs):
    job = jobs.submit("quick", lambda on_step, cancelled: [1], lambda _: None)
    assert jobs.wait(job.id, LONG).state == "done"
    assert jobs.cancel(job.id).state == "done"


def test_a_result_that_is_ready_is_stored_although_the_job_was_cancelled(jobs):
    """Work that does not ask whether it is cancelled is done, and its result kept."""
    stored, begun, go = [], threading.Event(), threading.Event()

    def work(on_step, cancelled):
        begun.set()
        assert go.wait(LONG)
        return [7]

    job = jobs.submit("deaf", work, stored.append)
    assert begun.wait(LONG)
    jobs.cancel(job.id)
    go.set()
    assert jobs.wait(job.id, LONG).state == "done"
    assert stored == [7]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("no object\nthere"), "no object there"),
        (ZeroDivisionError("division by zero"), "paint failed, ZeroDivisionError: division by zero"),
        (MemoryError(), "paint failed, MemoryError"),
        (SystemExit(3), "paint failed, SystemExit: 3"),
        (ValueError("x" * 1000), "paint failed, ValueError: xxx"),
    ],
)
def test_a_crash_is_a_message_and_the_worker_lives(jobs, error, message):
    stored = []
    failed = jobs.wait(jobs.submit("paint", raising(error), stored.append).id, LONG)
    assert failed.state == "failed"
    assert failed.error.startswith(message)
    assert len(failed.error) < 320
    assert "\n" not in failed.error
    assert stored == [1]  # what came before the crash
    after = jobs.submit("next", lambda on_step, cancelled: [2], stored.append)
    assert jobs.wait(after.id, LONG).state == "done"
    assert stored == [1, 2]


def test_a_result_that_cannot_be_stored_is_an_error_not_a_success(jobs):
    def full(result):
        raise OSError("no space left")

    job = jobs.wait(jobs.submit("paint", lambda on_step, cancelled: [1], full).id, LONG)
    assert (job.state, job.stored) == ("failed", 0)
    assert "no space left" in job.error


def test_remaining_time():
    """With a clock of our own: the estimate, then the pace of the steps after the first, which loads the model."""
    now = [0.0]
    jobs = Jobs(clock=lambda: now[0])
    begun, load, loaded, end = (threading.Event() for _ in range(4))

    def work(on_step, cancelled):
        begun.set()
        assert load.wait(LONG)
        on_step(0, 5)
        now[0] += 10
        on_step(1, 5)
        loaded.set()
        assert end.wait(LONG)
        return [1]

    job = jobs.submit("paint", work, lambda _: None, seconds=100)
    other = jobs.submit("other", lambda on_step, cancelled: [2], lambda _: None, seconds=30)
    unknown = jobs.submit("unknown", lambda on_step, cancelled: [3], lambda _: None)
    assert begun.wait(LONG)
    now[0] = 40
    assert jobs.get(job.id).seconds_left == 60
    assert jobs.get(other.id).seconds_left == 60 + 30
    assert jobs.get(unknown.id).seconds_left is None
    load.set()
    assert loaded.wait(LONG)
    assert jobs.get(job.id).seconds_left == 4 * 10
    assert jobs.get(other.id).seconds_left == 4 * 10 + 30
    end.set()
    assert jobs.wait(unknown.id, LONG).state == "done"
    jobs.close(LONG)


def test_unknown_jobs_and_a_closed_queue():
    jobs, gate = Jobs(), Gate()
    with pytest.raises(ConfigError, match="there is no job 'job-9'"):
        jobs.get("job-9")
    running = jobs.submit("one", gate, lambda _: None)
    waiting = jobs.submit("two", Gate(), lambda _: None)
    assert gate.started.wait(LONG)
    gate.passes.release()
    jobs.close(LONG)
    assert jobs.get(waiting.id).state == "cancelled"
    assert jobs.get(running.id).over
    with pytest.raises(ConfigError, match="server is stopping"):
        jobs.submit("three", Gate(), lambda _: None)
    jobs.close(LONG)


def test_many_threads_submit():
    jobs, stored = Jobs(), []
    ids = []

    def add(number):
        ids.append(jobs.submit(str(number), lambda on_step, cancelled: [number], stored.append).id)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(jobs.wait(job, LONG).state == "done" for job in ids)
    assert sorted(stored) == list(range(30))
    assert len(set(ids)) == 30
    jobs.close(LONG)
