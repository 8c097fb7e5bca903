"""Running benchmarks with scripts that measure nothing: what is kept, skipped, run again and told."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Figure
from benchmarks.suite import catalog, running
from benchmarks.suite.catalog import CATALOG, Benchmark, chosen
from benchmarks.suite.report import Outcome, Report, default_path, newest, read_report
from benchmarks.suite.running import Settings, run_benchmarks

MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 2, "memory_gib": 8, "gpu": None, "system": "Linux"}
SOFTWARE = {"commit": "abc"}
SCRIPT = """
import json, pathlib, sys
path = sys.argv[sys.argv.index("--json") + 1]
print("measuring", *sys.argv[1:-2])
{act}
figure = {{"name": "time", "value": {value}, "unit": "s", "better": "lower", "target": 2}}
pathlib.Path(path).write_text(json.dumps({{"figures": [figure]}}))
"""


@pytest.fixture
def scripts(tmp_path):
    """A folder of scripts; `write(name, value, act)` adds one."""
    folder = tmp_path / "scripts"
    folder.mkdir()

    def write(name, value=1.0, act=""):
        (folder / f"{name}.py").write_text(SCRIPT.format(value=value, act=act))
        return Benchmark(name, name, f"{name}.py")

    write.folder = folder
    return write


def run(benchmarks, tmp_path, scripts, report=None, data=None, **settings):
    report = report or Report("2026-01-01", dict(MACHINE), dict(SOFTWARE))
    lines = []
    given = Settings(data or {}, scripts=scripts.folder, **settings)
    run_benchmarks(benchmarks, report, tmp_path / "found.json", given, lines.append)
    return read_report(tmp_path / "found.json"), lines


def test_figures_are_stored_with_command_commit_and_time(tmp_path, scripts):
    report, lines = run([scripts("one", 1.5)], tmp_path, scripts)
    outcome = report.benchmarks["one"]
    assert outcome.figures == (Figure("time", 1.5, "s", "lower", 2),)
    assert (outcome.status, outcome.command, outcome.commit) == ("measured", "python benchmarks/one.py", "abc")
    assert 0 <= outcome.seconds < 600
    assert outcome.started.endswith("Z")
    assert "    measuring" in lines
    assert report.machine == MACHINE


def test_one_that_fails_does_not_stop_the_others(tmp_path, scripts):
    bad, silent = scripts("bad", act="sys.exit('no such thing')"), scripts("silent", act="sys.exit(0)")
    report, _ = run([bad, silent, scripts("good")], tmp_path, scripts)
    assert {name: outcome.status for name, outcome in report.benchmarks.items()} == {
        "bad": "failed",
        "silent": "failed",
        "good": "measured",
    }
    assert report.benchmarks["bad"].reason == "exit status 1: no such thing"
    assert report.benchmarks["silent"].reason == "it wrote no figures"


def test_what_is_lacking_is_the_reason_for_skipping(tmp_path, scripts):
    scripts("one")
    needing = [
        Benchmark("data", "", "one.py {coco} {flickr8k}"),
        Benchmark("package", "", "one.py", packages=("json", "clip_benchmark_of_nobody")),
        Benchmark("gpu", "", "one.py", gpu=True),
    ]
    catalog._HINTS["clip_benchmark_of_nobody"] = "pip install it"
    try:
        report, _ = run(needing, tmp_path, scripts, data={"coco": "/"})
    finally:
        del catalog._HINTS["clip_benchmark_of_nobody"]
    assert {name: (outcome.status, outcome.reason) for name, outcome in report.benchmarks.items()} == {
        "data": ("skipped", "no data: --data flickr8k=FLICKR8K_FOLDER"),
        "package": ("skipped", "clip_benchmark_of_nobody not installed: pip install it"),
        "gpu": ("skipped", "there is no GPU"),
    }


def test_data_and_rounds_reach_the_script_and_folders_stay_out_of_the_file(tmp_path, scripts):
    scripts("one")
    place = tmp_path / "with space"
    benchmark = Benchmark("one", "", "one.py --data coco={coco} --rounds {rounds}", rounds=3)
    report, lines = run([benchmark], tmp_path, scripts, data={"coco": str(place)})
    assert f"    measuring --data coco={place} --rounds 3" in lines
    assert report.benchmarks["one"].command == "python benchmarks/one.py --data coco=COCO_FOLDER --rounds 3"
    assert str(place) not in (tmp_path / "found.json").read_text()
    _, lines = run([benchmark], tmp_path, scripts, data={"coco": str(place)}, rounds=7)
    assert f"    measuring --data coco={place} --rounds 7" in lines


def test_resume_runs_only_what_was_not_measured(tmp_path, scripts):
    good, bad = scripts("good", 1.0), scripts("bad", act="sys.exit(3)")
    first, _ = run([good, bad], tmp_path, scripts)
    scripts("good", 9.0), scripts("bad", 2.0)
    second, lines = run([good, bad], tmp_path, scripts, report=first, resume=True)
    assert second.benchmarks["good"] == first.benchmarks["good"]
    assert second.benchmarks["bad"].figures[0].value == 2
    assert any("good: measured before" in line for line in lines)
    third, _ = run([good, bad], tmp_path, scripts, report=second)
    assert third.benchmarks["good"].figures[0].value == 9


def test_what_was_measured_stays_where_it_can_no_longer_run_or_is_not_asked_for(tmp_path, scripts):
    scripts("one")
    with_data, other = Benchmark("one", "", "one.py {coco}"), scripts("other")
    first, _ = run([with_data], tmp_path, scripts, data={"coco": "/"})
    second, _ = run([with_data, other], tmp_path, scripts, report=first)
    assert second.benchmarks["one"] == first.benchmarks["one"]
    assert second.benchmarks["other"].status == "measured"


def test_an_interrupted_run_keeps_what_was_done(tmp_path, scripts, monkeypatch):
    one, two = scripts("one"), scripts("two")
    real = running._run

    def interrupted(benchmark, *rest):
        if benchmark is two:
            raise KeyboardInterrupt
        return real(benchmark, *rest)

    monkeypatch.setattr(running, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([one, two], tmp_path, scripts)
    assert list(read_report(tmp_path / "found.json").benchmarks) == ["one"]


def test_tiny_runs_need_neither_data_nor_gpu(tmp_path, scripts):
    scripts("one")
    benchmarks = [Benchmark("gpu", "", "one.py {coco}", gpu=True, tiny="one.py --tiny"), scripts("other")]
    report, lines = run(benchmarks, tmp_path, scripts, tiny=True)
    assert "    measuring --tiny" in lines
    assert report.benchmarks["gpu"].status == "measured"
    assert report.benchmarks["other"].reason == "it has no tiny size"


def test_benchmarks_are_chosen_by_name_or_script_in_the_catalogs_order():
    assert chosen(["all"]) == CATALOG
    assert [each.name for each in chosen(["mining", "packing"])] == ["packing", "mining"]
    assert [each.name for each in chosen(["gpu"])] == ["gpu_ranking", "gpu_finetune"]
    with pytest.raises(ValueError, match="no benchmark minings"):
        chosen(["mining", "minings"])


@pytest.mark.parametrize("benchmark", CATALOG, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_of_the_catalog_is_a_script_that_has_its_flags(benchmark):
    path = running.SCRIPTS / f"{benchmark.script}.py"
    text = path.read_text(encoding="utf-8")
    assert '"--json"' in text
    words = benchmark.words(dict.fromkeys(benchmark.data, "FOLDER"))
    assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == []


def test_benchmarks_have_names_of_their_own():
    assert len({each.name for each in CATALOG}) == len(CATALOG)


def report_of(cpu, date):
    return Report(date, {**MACHINE, "cpu": cpu}, SOFTWARE, {"one": Outcome("skipped", "there is no GPU")})


def test_the_newest_run_of_the_processor_is_compared_with(tmp_path):
    for cpu, date in (("A CPU", "2026-01-02"), ("A CPU", "2026-01-01"), ("B", "2026-01-03"), ("A CPU", "2026-01-04")):
        report_of(cpu, date).write(tmp_path / f"{date}.json")
    own = tmp_path / "2026-01-04.json"
    assert newest(MACHINE, without=own, folder=tmp_path) == tmp_path / "2026-01-02.json"
    assert newest({**MACHINE, "cpu": "C"}, without=own, folder=tmp_path) is None


def test_a_day_and_a_machine_have_one_file(tmp_path):
    machine = {**MACHINE, "cpu": "AMD EPYC 9B45 (Turin)"}
    name = default_path("2026-01-02T03:04:05Z", machine, tmp_path).name
    assert name == "2026-01-02-amd-epyc-9b45-turin-2-cores.json"
    assert default_path("2026-01-02", {**machine, "gpu": "NVIDIA H100"}, tmp_path).name.startswith(
        "2026-01-02-nvidia-h100"
    )


def test_the_command_line_tells_what_is_wrong(capsys, tmp_path):
    assert main(["minings"]) == 2
    assert "no benchmark minings" in capsys.readouterr().err
    assert main(["mining", "--data", f"coco={tmp_path / 'nowhere'}"]) == 2
    assert "a folder that is there" in capsys.readouterr().err


def test_a_file_of_another_machine_is_not_added_to(capsys, tmp_path):
    report_of("Another CPU", "2026-01-01").write(tmp_path / "found.json")
    before = (tmp_path / "found.json").read_text()
    assert main(["allocator", "--output", str(tmp_path / "found.json")]) == 2
    assert "is of another machine" in capsys.readouterr().err
    assert (tmp_path / "found.json").read_text() == before


def test_without_a_gpu_its_benchmarks_say_so_in_a_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["gpu", "--output", str(tmp_path / "found.json")]) == 0
    assert "gpu_ranking: skipped: there is no GPU" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["benchmarks"]["gpu_finetune"]["status"] == "skipped"
