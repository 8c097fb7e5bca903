"""What ``clipbench.evaluate`` can do beside scoring: write, resume, report, and share the work."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import clipbench
from clipbench.errors import ConfigError, ResultError
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.evaluation.progress_bars import progress_bars
from clipbench.evaluation.runner import EvaluationRun
from clipbench.inference import chunks
from clipbench.inference.images import ImageEncoder
from clipbench.models import load_model
from clipbench.results import ResultsDirectory, read_results
from clipbench.task_types import RankingTask
from clipbench.task_types.registry import select_tasks
from tests.oracles import oracle
from tests.toy import CAPTIONS, write_toy

ROOT = Path(__file__).parents[2]
OWNERS = {caption: number for number, caption in enumerate(CAPTIONS)}
COLORS = ["red", "green", "blue", "white", "black", "brown"]


@pytest.fixture(scope="module")
def model(tiny_clip):
    return load_model(str(tiny_clip))


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    return str(write_toy(folder, [f"a {color} thing, number {number}" for number, color in enumerate(COLORS)]))


@pytest.fixture
def decoded(monkeypatch):
    """Keys of the images that are decoded, with two images per chunk."""
    keys, decode = [], ImageEncoder._decode
    monkeypatch.setattr(chunks, "_CHUNK_IMAGES", 2)
    monkeypatch.setattr(ImageEncoder, "_decode", lambda self, ref: keys.append(ref.key) or decode(self, ref))
    return keys


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C when the fourth sample is to be scored."""
    score_sample, seen = RankingTask.score_sample, []

    def interrupt(self, sample, similarities):
        seen.append(sample)
        if len(seen) > 3:
            raise KeyboardInterrupt
        return score_sample(self, sample, similarities)

    with monkeypatch.context() as patched:
        patched.setattr(RankingTask, "score_sample", interrupt)
        yield patched


def test_results_and_samples_are_written_as_the_command_line_writes_them(tiny_clip, colors, tmp_path):
    results = clipbench.evaluate(str(tiny_clip), colors, output_path=tmp_path, log_samples=True)
    (folder,) = tmp_path.iterdir()
    assert folder.name == str(tiny_clip).replace("/", "__")
    (file,) = folder.glob("results_*.json")
    assert read_results(file).to_json() == results.to_json()
    (samples,) = folder.glob("samples_toy_color_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [line["texts"][0].split()[-1] for line in lines] == ["0", "1", "2", "3", "4", "5"]
    assert len(list(folder.iterdir())) == 2, "no journal is left"


def test_a_name_of_ones_own_leaves_the_model_its_id(model, colors, tmp_path):
    before = model.id
    results = clipbench.evaluate(model, colors, name="run 7, step 3", output_path=tmp_path)
    assert (results.model_name, results.config.model, model.id) == ("run 7, step 3", "run 7, step 3", before)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("run__7,__step__3-")


def test_an_interrupted_call_is_resumed_by_the_same_call(model, colors, tmp_path, decoded, interrupted):
    notes, steps = [], []
    with pytest.raises(KeyboardInterrupt):
        clipbench.evaluate(model, colors, output_path=tmp_path)
    interrupted.undo()
    decoded.clear()
    results = clipbench.evaluate(
        model, colors, output_path=tmp_path, on_note=notes.append, on_progress=lambda *step: steps.append(step)
    )
    assert sorted(decoded) == ["4.png", "5.png"]
    scored = [done for name, done, total in steps if (name, total) == ("toy_color", 6)]
    assert (scored[0], scored[-1]) == (4, 6), "the bar starts where the run resumes"
    assert scored == sorted(scored)
    assert "resuming the unfinished run" in notes[0]
    assert results.tasks["toy_color"].metrics == clipbench.evaluate(model, colors).tasks["toy_color"].metrics
    assert len(list(tmp_path.rglob("results_*.json"))) == 1


def test_a_call_that_is_not_to_resume_starts_over(model, colors, tmp_path, decoded, interrupted):
    with pytest.raises(KeyboardInterrupt):
        clipbench.evaluate(model, colors, output_path=tmp_path)
    interrupted.undo()
    decoded.clear()
    clipbench.evaluate(model, colors, output_path=tmp_path, resume=False)
    assert len(decoded) == 6


def test_another_name_does_not_resume(model, colors, tmp_path, decoded, interrupted):
    with pytest.raises(KeyboardInterrupt):
        clipbench.evaluate(model, colors, output_path=tmp_path, name="a b")
    interrupted.undo()
    decoded.clear()
    clipbench.evaluate(model, colors, output_path=tmp_path, name="a  b")
    assert len(decoded) == 6
    assert len(list(tmp_path.iterdir())) == 2


def test_results_that_cannot_be_written_are_an_error_after_which_nothing_is_lost(
    model, colors, tmp_path, decoded, monkeypatch
):
    def full(self, results):
        raise ResultError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(ResultsDirectory, "write", full)
        with pytest.raises(ResultError, match="disk full"):
            clipbench.evaluate(model, colors, output_path=tmp_path)
    decoded.clear()
    assert clipbench.evaluate(model, colors, output_path=tmp_path).failed == []
    assert decoded == []


def test_samples_that_cannot_be_logged_cost_no_numbers(model, colors, tmp_path, decoded, full_disk):
    full_disk.append("samples_")
    with pytest.raises(ResultError, match="toy_color: its samples are not logged: .*No space left on device"):
        clipbench.evaluate(model, colors, output_path=tmp_path, log_samples=True)
    (file,) = tmp_path.rglob("results_*.json")
    expected = clipbench.evaluate(model, colors).tasks["toy_color"].metrics
    assert read_results(file).tasks["toy_color"].metrics == expected
    assert not [path for path in tmp_path.rglob("*") if "samples_" in path.name]
    full_disk.clear()
    decoded.clear()
    clipbench.evaluate(model, colors, output_path=tmp_path, log_samples=True)
    assert decoded == [], "only the samples were missing"
    assert len(list(tmp_path.rglob("results_*.json"))) == len(list(tmp_path.rglob("samples_*"))) == 1


def test_two_at_once_lose_nothing(model, colors, tmp_path, decoded):
    notes, inner = [], []

    def meanwhile(task, result):
        if not inner:
            inner.append(clipbench.evaluate(model, colors, output_path=tmp_path, on_note=notes.append))

    outer = clipbench.evaluate(model, colors, output_path=tmp_path, log_samples=True, on_sample=meanwhile)
    assert "another process is already running this evaluation" in notes[0]
    files = [read_results(path) for path in tmp_path.rglob("results_*.json")]
    assert len(files) == 2
    for results in [*files, *inner]:
        assert results.tasks["toy_color"].metrics == outer.tasks["toy_color"].metrics
    assert not list(tmp_path.rglob(".*"))


def test_a_task_named_twice_is_scored_once(model, colors, decoded):
    results = clipbench.evaluate(model, f"{colors},{colors}")
    assert list(results.tasks) == ["toy_color"]
    assert len(decoded) == 6
    (task,) = select_tasks("scenes_color,scenes_color")
    assert len(select_tasks([type(task), type(task)])) == 1


def test_samples_without_a_folder_and_a_folder_that_is_a_file(model, colors, tmp_path):
    with pytest.raises(ConfigError, match="log_samples needs output_path"):
        clipbench.evaluate(model, colors, log_samples=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        clipbench.evaluate("no/such-model", colors, output_path=tmp_path / "file")


def test_samples_go_to_the_log_and_to_the_caller(model, colors, tmp_path):
    seen = []
    clipbench.evaluate(
        model, colors, output_path=tmp_path, log_samples=True, on_sample=lambda task, one: seen.append((task, one))
    )
    (samples,) = tmp_path.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [(task, one.sample_id) for task, one in seen] == [("toy_color", line["doc_id"]) for line in lines]


def test_the_profile_is_part_of_the_results(model, colors):
    profile = clipbench.evaluate(model, colors, profile=True).profile
    assert profile["images"] == 6
    assert "profile" not in clipbench.evaluate(model, colors).config


def test_a_progress_bar_on_stderr(model, colors, capfd):
    steps = []
    clipbench.evaluate(model, colors, progress=True, on_progress=lambda *step: steps.append(step))
    out, err = capfd.readouterr()
    assert out == ""
    assert "toy_color" in err
    assert "6/6" in err
    assert steps[-1] == ("toy_color", 6, 6)


def test_progress_that_is_not_known_beforehand(capfd):
    with progress_bars() as advance:
        advance("streamed", 3, None)
        advance("streamed", 5, None)
    assert "5it" in capfd.readouterr().err


def test_a_bar_begins_where_the_work_is_resumed(capfd):
    with progress_bars() as advance:
        advance("resumed", 0, None)
        advance("resumed", 60, 100)
        advance("resumed", 100, 100)
    err = capfd.readouterr().err
    assert "resumed: 0it" not in err
    assert "60/100" in err
    assert "0/100 [" not in err.replace("100/100", "").replace("60/100", "")


def test_notes_are_logged(model, colors, tmp_path, caplog, interrupted):
    with pytest.raises(KeyboardInterrupt):
        clipbench.evaluate(model, colors, output_path=tmp_path)
    interrupted.undo()
    with caplog.at_level(logging.INFO, "clipbench"):
        clipbench.evaluate(oracle("perfect", OWNERS), colors, output_path=tmp_path)
    assert "this run cannot be resumed if interrupted" in caplog.text  # an oracle's fingerprint is no digest


def test_a_run_is_iterated_task_by_task(model, colors, tmp_path):
    other = write_toy(tmp_path / "other", name="other", expected_n=9)
    tasks = prepare_tasks(f"{other},{colors}", EvaluationOptions())
    run = EvaluationRun(model, tasks, EvaluationOptions())
    seen = []
    for totals in run:
        assert run.results.tasks.keys() >= {totals.task.name}
        seen.append((totals.task.name, totals.error is None, totals.report.n))
    assert seen == [("other", False, 2), ("toy_color", True, 6)]


def test_a_run_that_is_left_early_keeps_its_journal(model, colors, tmp_path, decoded):
    from datetime import datetime

    other = write_toy(tmp_path / "other", name="other")
    options = EvaluationOptions()
    tasks = prepare_tasks(f"{colors},{other}", options)
    run = iter(EvaluationRun(model, tasks, options, directory=ResultsDirectory(tmp_path / "out", "m", datetime.now())))
    next(run)
    run.close()
    decoded.clear()
    EvaluationRun(model, tasks, options, directory=ResultsDirectory(tmp_path / "out", "m", datetime.now())).run()
    assert sorted(decoded) == ["0.png", "1.png"]


SCRIPT = """
import os, sys
import clipbench

model, tasks, out = sys.argv[1:]
results = clipbench.evaluate(model, tasks, output_path=out + "/written", progress=True)
with open(f"{out}/rank{os.environ['RANK']}.json", "w") as handle:
    handle.write(results.to_json())
"""


def test_processes_of_a_launcher_share_a_call(tiny_clip, colors, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, tmp_path / "script.py", tiny_clip, colors, tmp_path],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("written/*/results_*.json")
    expected = clipbench.evaluate(str(tiny_clip), colors).tasks["toy_color"].metrics
    for file in (written, tmp_path / "rank0.json", tmp_path / "rank1.json"):
        assert read_results(file).tasks["toy_color"].metrics == expected
    assert done.stderr.count("6/6") == 1
