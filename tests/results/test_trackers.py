"""What trackers get of a run."""

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from clipbench.cli import main
from clipbench.errors import ConfigError, ResultError
from clipbench.results import Measure
from clipbench.results.trackers import report_results, tracked_scores
from clipbench.utils.trackers import check_trackers
from tests.analysis.leaderboard.builders import make_results
from tests.toy import write_toy


class Tracker:
    """Keeps what it is called with; ``broken`` ends its ``log``."""

    requires_logging_directory = True
    calls: list = []
    broken = False

    def __init__(self, project, folder):
        self.calls[:] = [("init", project, folder)]

    def start(self):
        self.calls.append(("start",))

    def store_init_configuration(self, values):
        assert all(isinstance(value, int | float | str) for value in values.values())
        self.calls.append(("config", values))

    def log(self, values, step=None):
        if self.broken:
            raise RuntimeError("no network\nat all")
        self.calls.append(("log", values, step))

    def finish(self):
        self.calls.append(("finish",))


@pytest.fixture
def tracker(monkeypatch):
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Tracker)
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["tensorboard"])
    return Tracker


def test_scores_have_a_name_that_every_tracker_takes():
    results = make_results("m", {"t": 0.5}, metric="t2i_recall@5")
    results.tasks["t"].metrics["acc"] = Measure(0.25)
    assert tracked_scores(results) == {
        "t/t2i_recall_at_5": 0.5, "t/t2i_recall_at_5_stderr": 0.01, "t/acc": 0.25,
    }  # fmt: skip


def test_a_run_is_started_described_logged_and_ended(tracker, tmp_path):
    report_results(make_results("org/model", {"t": 0.5}), ["tensorboard"], tmp_path)
    (init, start, (_, config), log, finish) = tracker.calls
    assert init == ("init", "clipbench", str(tmp_path))
    assert (start, finish) == (("start",), ("finish",))
    assert config.items() >= {"model": "org/model", "fingerprint": "a" * 64, "precision": "float32"}.items()
    assert log == ("log", {"t/acc": 0.5, "t/acc_stderr": 0.01}, 0)


def test_a_tracker_that_fails_is_named_in_one_line(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(tracker, "broken", True)
    with pytest.raises(ResultError, match="report_to tensorboard: the results are not logged: .*no network at all"):
        report_results(make_results(), ["tensorboard"], tmp_path)


def test_unknown_and_missing_trackers_are_refused(tracker):
    check_trackers([])
    with pytest.raises(ConfigError, match="did you mean wandb"):
        check_trackers(["wandbb"])
    with pytest.raises(ConfigError, match="report_to mlflow: not installed; run pip install mlflow"):
        check_trackers(["mlflow"])


def test_eval_logs_what_it_prints_and_keeps_it_if_the_tracker_fails(tracker, tiny_clip, tmp_path, monkeypatch, capsys):
    task, out = write_toy(tmp_path), tmp_path / "out"
    arguments = ["eval", "-M", tiny_clip, "-t", task, "-o", out, "--report_to", "tensorboard"]
    for broken in (False, True):
        monkeypatch.setattr(tracker, "broken", broken)
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        table, err = capsys.readouterr()
        assert (ended.value.code or 0, "toy_color" in table) == (int(broken), True)
        assert ("not logged" in err) == broken
        assert len(list(out.rglob("results_*.json"))) == 1 + broken
        if not broken:
            assert {"toy_color/acc", "toy_color/acc_stderr"} <= tracker.calls[3][1].keys()
    assert "Traceback" not in err
