import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import clipbench
from clipbench.errors import ConfigError, DataError
from clipbench.inference import chunks
from clipbench.inference.journal import Journal
from clipbench.inference.scorer import Scorer
from clipbench.utils import distributed
from clipbench.utils.distributed import LaunchedProcesses, Processes, ProcessesError, started_processes
from tests.inference.test_scorer import make_samples
from tests.oracles import oracle
from tests.toy import write_toy

ROOT = Path(__file__).parents[2]


def launch(kill_after, *arguments):
    """`clipbench eval` in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "tests.inference.killed", kill_after, *arguments]
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=ROOT, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    captions = [f"a {color} thing, number {number}" for number, color in enumerate(["red", "blue", "white"] * 3)]
    ranking = write_toy(folder, captions)
    return f"{ranking},{write_toy(folder, captions, name='toy_retrieval', task_type='retrieval', concept=None)}"


def test_two_processes_write_what_one_writes(tiny_clip, toy, tmp_path):
    done = launch(10**6, "--model", tiny_clip, "--tasks", toy, "--output_path", tmp_path, "--log_samples")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("toy_retrieval") == 1
    (folder,) = tmp_path.iterdir()
    (results,) = folder.glob("results_*.json")
    found = json.loads(results.read_text())
    outcomes = []
    alone = clipbench.evaluate(str(tiny_clip), toy, on_sample=lambda task, outcome: outcomes.append(outcome))
    expected = json.loads(alone.to_json())
    assert found["results"] == expected["results"]
    assert {task: report["breakdown"] for task, report in found["tasks"].items()} == {
        task: report["breakdown"] for task, report in expected["tasks"].items()
    }
    lines = [json.loads(line) for path in sorted(folder.glob("samples_*")) for line in path.read_text().splitlines()]
    assert [line["doc_id"] for line in lines] == [outcome.sample_id for outcome in outcomes]
    for line, outcome in zip(lines, outcomes, strict=True):
        assert {metric: line[metric] for metric in outcome.values} == outcome.values
        np.testing.assert_allclose(line["scores"], outcome.record["scores"], atol=1e-6)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_lost_process_ends_the_run_with_an_error(tiny_clip, toy, tmp_path):
    ended = launch(1, "--model", tiny_clip, "--tasks", toy, "--output_path", tmp_path)
    assert ended.returncode != 0


class Together:
    """What several processes' collectives do, in threads of this one."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count, timeout=20)
        self.given = [None] * count

    def gather(self, rank, mine):
        self.given[rank] = mine
        self.barrier.wait()
        told = list(self.given)
        self.barrier.wait()
        return told


class Thread(LaunchedProcesses):
    def __init__(self, rank, together):
        self.rank, self.count, self._lost = rank, len(together.given), None
        self._together = together

    def _gather_object(self, mine):
        return self._together.gather(self.rank, mine)


def in_threads(count, do):
    """Call ``do(processes)`` in as many threads; returns what each returned or raised."""
    together, found = Together(count), [None] * count

    def one(rank):
        try:
            found[rank] = do(Thread(rank, together))
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("count", [2, 3, 5])
def test_each_image_is_decoded_by_one_process_and_all_hear_of_all(monkeypatch, count):
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 3)
    opened = []
    samples = make_samples(23, opened=opened, images=23)
    with Scorer(oracle("random", {})) as scorer:
        expected = {one.sample.id: one.similarities for one in scorer.similarities(samples, "data")}
    opened.clear()

    def score(processes):
        with Scorer(oracle("random", {}), processes=processes) as scorer:
            found = {one.sample.id: one.similarities for one in scorer.similarities(samples, "data")}
            return found, scorer.truncated_texts

    for found, truncated in in_threads(count, score):
        assert found.keys() == expected.keys()
        assert all((found[name] == expected[name]).all() for name in expected)
        assert truncated == 0
    assert sorted(opened) == list(range(23))


def test_what_fails_in_one_process_fails_in_all_and_the_next_task_goes_on(monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 2)
    samples = make_samples(12, images=12)

    def rows(rank):
        yield from samples[:5]
        if rank == 1:
            raise DataError("row 6 is torn")
        yield from samples[5:]

    def score(processes):
        with Scorer(oracle("random", {}), processes=processes) as scorer:
            try:
                list(scorer.similarities(rows(processes.rank), "data"))
                first = None
            except (DataError, ProcessesError) as error:
                first = error
            return first, len(list(scorer.similarities(samples, "data")))

    found = in_threads(3, score)
    assert [type(error) for error, _ in found] == [ProcessesError, DataError, ProcessesError]
    assert "process 1 failed: DataError: row 6 is torn" in str(found[0][0])
    assert [count for _, count in found] == [12, 12, 12]


def test_processes_that_read_other_data_are_found_out(monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 2)

    def score(processes):
        with Scorer(oracle("random", {}), processes=processes) as scorer:
            return list(scorer.similarities(make_samples(12 + processes.rank, images=12), "data"))

    for error in in_threads(2, score):
        assert isinstance(error, ProcessesError)
        assert "all need the same data" in str(error)


def test_a_process_that_is_gone_is_an_error_then_and_ever_after():
    def gone(told, mine):
        raise RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1234\nmore")

    left = Thread(0, Together(2))
    left._gather_object = lambda mine: gone(None, mine)
    for _ in range(2):
        with pytest.raises(ProcessesError, match="a process of the run is lost: .*Connection closed by peer"):
            left.exchange("step", 1)
        left._gather_object = lambda mine: pytest.fail("nobody is asked again")


def test_one_process_talks_to_nobody():
    assert Processes().exchange("step", 5) == [5]
    with pytest.raises(ZeroDivisionError), Processes().in_step("step"):
        raise ZeroDivisionError


def test_what_the_journal_holds_is_scored_by_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 2)
    opened = []
    samples = make_samples(13, opened=opened, images=13)

    def journal():
        return Journal(tmp_path, {}, resume=True, on_note=pytest.fail)

    kept = journal()
    with Scorer(oracle("random", {}), journal=kept) as scorer:
        first = scorer.similarities(samples, "data")
        expected = [next(first) for _ in range(5)]  # three chunks are done, and the fourth is being decoded
    kept.close()
    opened.clear()

    def score(processes):
        kept = journal() if processes.is_main else None
        with Scorer(oracle("random", {}), processes=processes, journal=kept) as scorer:
            return list(scorer.similarities(samples, "data"))

    for found in in_threads(3, score):
        assert len(found) == 13
        for one, other in zip(found, expected, strict=False):
            assert one.sample == other.sample
            assert (one.similarities == other.similarities).all()
    assert sorted(opened) == list(range(6, 13))


def in_launcher(code):
    """Run code in two processes that torchrun starts."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no_python"]
    command = [*torchrun, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)


def test_torchrun_without_a_gpu_is_seen_by_accelerate_and_gathers():
    done = in_launcher(
        "import torch\n"
        "from clipbench.utils.distributed import started_processes\n"
        "for turn in range(2):\n"
        "    with started_processes('cpu') as processes:\n"
        "        whole = processes.gather(torch.full((2, 1), processes.rank))\n"
        "        heard = processes.exchange('step', processes.rank)\n"
        "from accelerate import Accelerator\n"
        "accelerator = Accelerator()\n"
        "print(f'{heard} {whole.flatten().tolist()} {processes.device} {accelerator.num_processes}\\n', end='')\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[0, 1] [0, 0, 1, 1] None 2"] * 2


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc', not a number of processes"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0', not a number of processes"),
        ({"WORLD_SIZE": "1" * 30}, "not a number of processes"),
        ({"WORLD_SIZE": "٢"}, "WORLD_SIZE is '٢', not a number of processes"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but RANK is not set"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is 0, but WORLD_SIZE is not set"),
        ({"LOCAL_RANK": "abc"}, "LOCAL_RANK is 'abc', not a number from 0 to 0"),
        ({"RANK": "abc"}, "RANK is 'abc', not a number from 0 to 0"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2', not a number from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "x"}, "MASTER_PORT is 'x', not a number from 0 to 65535"),
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}, "MASTER_PORT is not set"),
    ],
)
def test_an_invalid_launcher_environment_is_an_error(monkeypatch, environment, message):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message), started_processes():
        pass


def test_fewer_processes_than_the_launcher_names_is_an_error(monkeypatch):
    for name, value in {
        "WORLD_SIZE": "4",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "LaunchedProcesses", lambda device: Processes())
    monkeypatch.setattr(distributed.atexit, "register", lambda call: None)
    with pytest.raises(ConfigError, match="WORLD_SIZE is 4, processes seen by accelerate: 1; "), started_processes():
        pass
