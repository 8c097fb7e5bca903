"""A small study from its command to its report: done once, killed and gone on with, shared, and with a failing cell."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipbench.analysis.published import PublishedFigure
from clipbench.cli import main
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.report import write_report
from clipbench.reproduce.steps import runs_of
from clipbench.reproduce.study import load_study
from clipbench.reproduce.training import run_worker

STUDY = """
name: small
title: A small study
base_models: [demo]
training:
  data: scenes=120
  concepts: [color]
  negatives: [0, 1]
  seeds: [0]
  limit: 64
  recipe: {epochs: 2, batch_size: 16, learning_rate: 1.0e-3, checkpoint_every: 0.5, freeze: [image, image_projection]}
limit: 30
tables:
  - {id: one, layout: epochs, title: One, tasks: {color: scenes_inpaint_color}}
  - {id: two, layout: datasets, title: Two, rows: {Flickr30k: {color: flickr30k_color}}}
  - {id: seven, layout: retrieval, title: Seven, tasks: {color: scenes_color}, retrieval: scenes_retrieval}
figure: {title: Four, tasks: {color: scenes_color}, retrieval: scenes_retrieval}
published_by: Somebody
comparable: true
"""


def command(folder, *further):
    words = ["reproduce", folder / "small.yaml", "--output_path", folder / "out", "--device", "cpu",
             "--image_cache", folder / "cache", *further]  # fmt: skip
    return [str(word) for word in words]


def run(folder, *further):
    return subprocess.run(
        [sys.executable, "-m", "clipbench", *command(folder, *further)], capture_output=True, text=True, check=False
    )


def scores(folder):
    """What all result files say, times and places aside."""
    files = sorted((folder / "out/scores").rglob("*.json"))
    return {
        str(file.relative_to(folder / "out")): json.loads(file.read_text())["results"]
        for file in files
        if json.loads(file.read_text())["tasks"][file.stem]["error"] is None
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the study done, but for a data set that is nowhere."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(STUDY)
    done = run(folder)
    return folder, done


def test_a_cell_that_fails_is_told_and_the_others_go_on(whole):
    folder, done = whole
    assert done.returncode == 1
    assert done.stderr.count("flickr30k") >= 1
    assert "Traceback" not in done.stderr
    found = scores(folder)
    # 4 checkpoints of 2 runs on ranking and retrieval, their 2 whole epochs on pairs, the base model on all three.
    assert len(found) == 2 * (4 * 2 + 2) + 3
    report = (folder / "out/report.md").read_text()
    missing = report.split("## What could not be run")[1]
    assert "flickr30k_color" in missing.split("##")[0]
    assert "scenes_color" not in missing.split("##")[0]


def test_every_cell_is_a_number_of_a_result_file(whole):
    folder, _ = whole
    report = json.loads((folder / "out/report.json").read_text())
    cells = [(table, cell) for table in report["tables"] for row in table["rows"] for cell in row["cells"] if cell]
    full = [(table["id"], cell) for table, cell in cells if cell["value"] is not None]
    assert {name for name, _ in full} == {"one", "seven"}
    for name, cell in full:
        (file,) = cell["files"]
        results = json.loads((folder / "out" / file).read_text())
        (metrics,) = results["results"].values()
        assert cell["value"] in metrics.values()
        assert f'href="{file}"' in (folder / "out/report.html").read_text(), name
    empty = [cell for table, cell in cells if table["id"] == "two"]
    assert all(cell["value"] is None and cell["problems"] for cell in empty)


def test_each_model_is_scored_by_its_own_weights(whole):
    found = scores(whole[0])
    retrieval = [
        found[f"scores/{name}/step-{step:06d}/scenes_retrieval.json"]["scenes_retrieval"]
        for name, step in [
            ("orig", 0),
            *((f"color-{kind}-seed0", step) for kind in ("control", "hn1") for step in (4, 8)),
        ]
    ]
    assert len({json.dumps(numbers, sort_keys=True) for numbers in retrieval}) > 3


def test_cells_that_agree_with_a_published_figure_are_marked(whole, monkeypatch):
    def published(task, concept, kind, epoch):
        value = {"Orig.": 0.9, "HN1": 0.05}.get(kind) if task == "scenes_inpaint_color" else None
        figure = PublishedFigure("Somebody", "", task, "pairs", "image_score", {"image_score": value})
        return None if value is None else figure

    folder, _ = whole
    out, study = StudyFolder(folder / "out"), load_study(str(folder / "small.yaml"))
    monkeypatch.setattr("clipbench.reproduce.lookup.published_figure", published)
    report = json.loads(next(file for file in write_report(study, out) if file.name == "report.json").read_text())
    (row,) = report["tables"][0]["rows"]
    # The demo model is right on nine of ten pairs; nothing trained on it falls to one of twenty.
    assert [cell["agrees"] for cell in row["cells"]] == [True, None, None, False, False]
    table = (folder / "out/report.md").read_text().split("## One")[1].split("##")[0]
    assert (table.count(" ="), table.count(" ≠")) == (1, 2)


def test_figure_and_findings_are_there(whole):
    folder, _ = whole
    points = json.loads((folder / "out/tradeoff.json").read_text())["points"]
    assert [point["curve"] for point in points] == ["Orig.", *["Clas."] * 4, *["HN1"] * 4]
    assert [point["label"] for point in points[1:5]] == ["epoch 0.5", "epoch 1", "epoch 1.5", "epoch 2"]
    findings = {finding["statement"] for finding in json.loads((folder / "out/report.json").read_text())["findings"]}
    assert findings == {
        "A hard negative teaches what classical training does not",
        "One epoch is nearly as good as two",
        "It costs little retrieval",
    }


def test_checkpoints_between_epochs_are_dropped_once_they_are_scored(whole):
    folder, _ = whole
    left = sorted(path.name for path in (folder / "out/runs/color-hn1-seed0").glob("checkpoint-*"))
    assert left == ["checkpoint-000004", "checkpoint-000008"]


def test_the_command_of_a_run_makes_the_same_model_by_itself(whole, tmp_path):
    folder, _ = whole
    study = load_study(str(folder / "small.yaml"))
    trained = StudyFolder(folder / "out").training(runs_of(study)[2])
    assert trained is not None
    words = trained.command.split()
    words[words.index("--output_path") + 1] = str(tmp_path / "alone")
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    assert (tmp_path / "alone/model.safetensors").read_bytes() == (
        folder / "out/runs/color-hn1-seed0/model.safetensors"
    ).read_bytes()


def test_what_is_done_is_not_done_again(whole, capsys):
    folder, _ = whole
    before = {file: file.stat().st_mtime_ns for file in (folder / "out").rglob("*") if "flickr30k" not in file.name}
    with pytest.raises(SystemExit):
        main(command(folder))
    told = capsys.readouterr().err
    assert "training;" not in told
    assert "scored on" not in told
    kept = [file for file in before if file.parts[-2] in ("runs",) or "scores" in file.parts or "runs" in file.parts]
    assert len([file for file in kept if file.is_file()]) > 30
    assert all(file.stat().st_mtime_ns == before[file] for file in kept if file.is_file())


def test_numbers_are_not_lost_to_data_that_is_gone(whole, capsys):
    folder, _ = whole
    before = scores(folder)
    with pytest.raises(SystemExit) as ended:
        main(command(folder, "--data", "scenes=nowhere"))
    assert ended.value.code == 1
    assert "nowhere" in capsys.readouterr().err
    assert scores(folder) == before


def test_the_reason_of_a_failure_is_what_the_worker_says_whatever_the_launcher_prints(tmp_path):
    outcome, log = tmp_path / "outcome.json", tmp_path / "run.log"
    failure = f"import sys; print('ChildFailedError'); open({str(outcome)!r}, 'w').write({{}}); sys.exit(3)"
    silent = run_worker([sys.executable, "-c", "import sys; sys.exit(3)"], log, outcome)
    absent = run_worker(["no-such-launcher"], log, outcome)
    reason = run_worker([sys.executable, "-c", failure.format("""'{"error": "this one"}'""")], log, outcome)
    assert reason == "this one"
    assert "ChildFailedError" in log.read_text()
    assert silent == f"the training ended with exit code 3 ({log})"
    assert absent == "launcher no-such-launcher: No such file or directory"


def test_another_study_or_recipe_is_refused(whole, tmp_path, capsys):
    folder, _ = whole

    def refused(old, new):
        (tmp_path / "small.yaml").write_text(STUDY.replace(old, new))
        words = ["reproduce", tmp_path / "small.yaml", "--output_path", folder / "out"]
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert ended.value.code == 2
        return capsys.readouterr().err

    assert "holds study small, name small there and other asked for" in refused("name: small", "name: other")
    assert "recipe's learning_rate 0.001 there and 0.002" in refused("1.0e-3", "2.0e-3")
    assert "training limit 64 there and 48" in refused("limit: 64", "limit: 48")
    assert "data scenes=120 there and scenes=121" in refused("scenes=120", "scenes=121")


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "scenes", "--output_path", str(tmp_path)])
    assert ended.value.code == 2
    assert "holds other files and no study" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_killed_at_several_moments_it_ends_with_the_same_scores(whole, tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY)
    out = tmp_path / "out"

    def terminate(going):  # the study alone: it has to end its training
        going.terminate()
        assert going.wait() == 130

    def kill_all(going):
        os.killpg(going.pid, signal.SIGKILL)
        going.wait()

    def kill_the_study_alone(going):  # its training goes on and keeps the run
        os.killpg(going.pid, signal.SIGSTOP)
        going.kill()
        going.wait()
        with StudyFolder(out).hold(runs_of(load_study(str(tmp_path / "small.yaml")))[2]) as is_ours:
            assert is_ours is False
        os.killpg(going.pid, signal.SIGCONT)

    moments = [
        (terminate, lambda: any((out / "runs").glob("*/checkpoint-*"))),  # in the first training
        (kill_all, lambda: len(list((out / "scores").rglob("*.json"))) > 5),  # while scoring
        (kill_the_study_alone, lambda: any((out / "runs/color-hn1-seed0").glob("checkpoint-*"))),
    ]
    for kill, has_come in moments:
        going = subprocess.Popen(
            [sys.executable, "-m", "clipbench", *command(tmp_path)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        ends = time.monotonic() + 240
        while not has_come():
            assert going.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < ends
            time.sleep(0.02)
        kill(going)
    run(tmp_path)
    assert scores(tmp_path) == scores(whole[0])
    steps = [json.loads(line)["step"] for line in (out / "runs/color-hn1-seed0/training_log.jsonl").open()]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]


def test_jobs_share_the_runs(whole, tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY)
    done = run(tmp_path, "--jobs", 2)
    assert done.returncode == 1
    assert done.stderr.count("color-control-seed0: training;") == 1
    assert done.stderr.count("color-hn1-seed0: training;") == 1
    assert done.stderr.count("error: color-hn1-seed0: flickr30k_color") == 1  # no job tries again what another did
    assert scores(tmp_path) == scores(whole[0])


def test_a_training_that_fails_is_told_with_its_reason_and_tried_again(tmp_path):
    (tmp_path / "small.yaml").write_text(
        STUDY.replace("limit: 64", "limit: 12").replace("negatives: [0, 1]", "negatives: [1]")
    )
    done = run(tmp_path, "--only", "color-hn1-seed0")
    assert done.returncode == 1
    assert "12 captions with a keyword, fewer than a batch of 16" in done.stderr
    assert "12 captions with a keyword" in (tmp_path / "out/report.md").read_text().split("What could not be run")[1]
    again = run(tmp_path, "--only", "color-hn1-seed0")
    assert "color-hn1-seed0: training;" in again.stderr


def test_a_dry_run_shows_the_plan_and_touches_nothing(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(STUDY)
    with pytest.raises(SystemExit) as ended:
        main([*command(tmp_path), "--dry_run"])
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["orig", "color-control-seed0", "color-hn1-seed0"]
    assert "2 trainings, 26 scores on 4 tasks" in err
    assert not (tmp_path / "out").exists()


def test_a_run_belongs_to_its_training_even_if_the_study_that_started_it_was_killed(tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY)
    folder = StudyFolder(tmp_path / "out")
    first, other, _ = runs_of(load_study(str(tmp_path / "small.yaml")))
    with folder.hold(first):
        lock = folder.training_lock(first)
    script = f"""
from pathlib import Path
from clipbench.utils.files import lock
with lock(Path({str(lock)!r})):
    print("held", flush=True)
    input()
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    with folder.hold(first) as taken, folder.hold(other) as free:
        assert taken is False
        assert free is True
    child.communicate(b"\n")
    with folder.hold(first) as ours:
        assert ours is True


def test_the_page_holds_no_markup_of_the_studys(whole, tmp_path):
    folder, _ = whole
    text = STUDY.replace("title: One,", "title: '<script>alert(1)</script>',")
    (folder / "marked.yaml").write_text(text)
    words = ["reproduce", folder / "marked.yaml", "--output_path", folder / "out", "--report_only"]
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    page = (folder / "out/report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_paths_are_found_from_the_report(whole):
    folder, _ = whole
    report = json.loads((folder / "out/report.json").read_text())
    files = [
        file
        for table in report["tables"]
        for row in table["rows"]
        for cell in row["cells"]
        if cell
        for file in cell["files"]
    ]
    assert all(not Path(file).is_absolute() and (folder / "out" / file).is_file() for file in files)
