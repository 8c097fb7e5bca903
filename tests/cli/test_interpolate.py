import json
from xml.etree import ElementTree

import pytest

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import read_tradeoff
from clipbench.models import load_model
from clipbench.results import read_results
from tests.seeded import build_clip
from tests.toy import write_toy

CAPTIONS = [f"a {color} {thing}" for color in ("white", "red", "black") for thing in ("dog", "car", "boat")]

PLUGIN = """
from pathlib import Path

from clipbench.task_types import RankingTask
from clipbench.data import Dataset

LOG, STOP = Path({log!r}), Path({stop!r})

class Interrupted(RankingTask):
    name = "interrupted"
    concept = "color"
    dataset = Dataset("interrupted", None, path={path!r})

    def score_sample(self, sample, similarities):
        with LOG.open("a") as handle:
            print(sample.id, file=handle)
        if STOP.exists() and len(LOG.read_text().split()) > {many}:
            raise KeyboardInterrupt
        return super().score_sample(sample, similarities)
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    root = tmp_path_factory.mktemp("ends")
    return build_clip(root / "base", seed=0), build_clip(root / "tuned", seed=1)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    color = write_toy(folder / "color", CAPTIONS)
    return f"{color},{write_toy(folder / 'look', CAPTIONS, name='toy_look', task_type='retrieval', concept=None)}"


def test_table_results_figure_and_checkpoint(run, ends, tasks, tmp_path):
    out = tmp_path / "out"
    arguments = ("interpolate", *ends, "--tasks", tasks, "--alpha", "0,0.5,…,1", "-o", out, "--save", "0.5")
    code, printed, err = run(*arguments, "--format", "json")
    assert code == 0, err
    rows = json.loads(printed)
    assert [row["alpha"] for row in rows] == [0.0, 0.5, 1.0]
    for row in rows:
        (file,) = (out / f"alpha-{row['alpha']:.2f}").glob("results_*.json")
        stored = read_results(file)
        assert row["toy_color"]["value"] == stored.metric("toy_color", "acc")
        assert row["toy_look"]["metric"] == "t2i_recall@5"
    assert any(row["toy_color"]["pareto"] for row in rows)
    figure = read_tradeoff(out)
    assert [point.curve for point in figure.points] == [ORIGINAL, "tuned", "tuned", "tuned"]
    assert ElementTree.parse(out / "tradeoff.svg")
    assert load_model(str(out / "alpha-0.50" / "model"))
    code, table, _ = run(*arguments)
    assert code == 0
    starred = [line.split()[0] for line in table.splitlines() if "*" in line]
    assert [float(alpha) for alpha in starred] == [row["alpha"] for row in rows if row["toy_color"]["pareto"]]
    assert len(list(out.rglob("results_*.json"))) == 3  # nothing was scored twice


def test_a_full_disk_costs_no_numbers(run, ends, tasks, tmp_path, full_disk):
    full_disk.append("results_")
    code, out, err = run("interpolate", *ends, "-t", tasks.split(",")[0], "--alpha", "0,1", "-o", tmp_path / "out")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["0.00", "1.00"]
    assert "failed" not in out
    assert err.count("No space left on device") == 2


def test_without_retrieval_there_is_a_table_and_no_figure(run, ends, tasks, tmp_path):
    code, out, err = run("interpolate", *ends, "-t", tasks.split(",")[0], "--alpha", "1", "-o", tmp_path / "out")
    assert code == 0
    assert "toy_color acc" in out
    assert "no figure: a trade-off needs one retrieval task" in err
    assert not (tmp_path / "out" / "tradeoff.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alpha", "0,2"), "2 is not between 0 and 1"),
        (("--alpha", "0,0.3,…,1"), "do not meet 1"),
        (("--alpha", "0,1", "--save", "0.5"), "--save 0.5: not among --alpha 0,1"),
        (("--alpha", "0", "--output_path", "results.json"), "give a directory"),
    ],
)
def test_bad_usage_is_told_before_a_model_is_loaded(run, tasks, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    place = () if "--output_path" in arguments else ("-o", "out")
    code, _, err = run("interpolate", "no/such", "models", "-t", tasks, *place, *arguments)
    assert code == 2
    assert message in err


def test_models_that_do_not_fit_are_one_line(run, ends, tasks, tmp_path):
    other = build_clip(tmp_path / "open_clip", library="open_clip")
    code, out, err = run("interpolate", other, ends[1], "-t", tasks, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "convert one first" in err
    assert len(err.strip().splitlines()) == 1


def test_an_interrupted_run_keeps_what_is_done_and_goes_on_from_there(run, ends, tasks, tmp_path):
    data, plugin = tasks.split(",")[0].replace("toy_color.yaml", "toy.csv"), tmp_path / "plugin.py"
    log, stop, many = tmp_path / "log", tmp_path / "stop", len(CAPTIONS)
    stop.touch()
    plugin.write_text(PLUGIN.format(path=data, log=str(log), stop=str(stop), many=many + 1))
    arguments = ("interpolate", *ends, "-t", "interrupted", "--include_path", plugin, "--alpha", "0,0.5,1")
    code, out, err = run(*arguments, "-o", tmp_path / "out")
    assert code == 130
    assert "1 of 3 alphas are saved" in err
    assert "0.00" in out
    stop.unlink()
    log.write_text("")
    code, out, _ = run(*arguments, "-o", tmp_path / "out")
    assert code == 0
    assert "1.00" in out
    assert len(log.read_text().split()) == 2 * many


def test_a_task_without_data_fails_and_the_others_go_on(run, ends, tasks, tmp_path):
    broken = write_toy(tmp_path / "broken", CAPTIONS, name="broken")
    (tmp_path / "broken" / "0.png").unlink()
    code, out, err = run("interpolate", *ends, "-t", f"{tasks},{broken}", "--alpha", "1", "-o", tmp_path / "out")
    assert code == 1
    assert "broken: " in err
    assert "toy_color" in out
