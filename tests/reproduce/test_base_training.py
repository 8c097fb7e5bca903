"""A small study whose base model is trained first, with a method, interpolation, paired gains and contact sheets."""

import json

import pytest
from safetensors.torch import load_file

from clipbench.evaluation.options import ignore_progress
from clipbench.models import load_model
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.report import write_report
from clipbench.reproduce.runner import RunEvent, StudyRunner, overlap_warnings
from clipbench.reproduce.steps import runs_of
from clipbench.reproduce.study import load_study
from clipbench.reproduce.training import finetune_command, training_job
from clipbench.results.sample_log import logged_samples

STUDY = """
name: small
title: A small study
base_models: [demo]
base_training:
  data: scenes=60
  recipe: {max_steps: 2, batch_size: 16, learning_rate: 1.0e-3, freeze: [image, image_projection]}
training:
  data: scenes=120
  concepts: [color]
  negatives: [0, 1]
  limit: 64
  recipe: {epochs: 1, batch_size: 16, learning_rate: 3.0e-3, freeze: [image, image_projection], checkpoint_every: 1}
  methods:
    matched: {replacement_sampling: matched}
alphas: [0.5]
limit: 60
limits: {scenes_retrieval: 20}
tables:
  - {id: scores, layout: scores, title: S, tasks: {color: scenes_color}, metrics: {acc: accuracy, acc_balanced: mean}}
  - {id: gains, layout: gains, title: G, tasks: {color: scenes_color}, metrics: {acc: accuracy, acc_balanced: mean},
     retrieval: {scenes_retrieval: R@5}}
  - {id: more, layout: gains, title: M, tasks: {color: scenes_color}, metrics: {acc: a}, against: HN1,
     retrieval: {scenes_retrieval: R@5}}
figure: {title: F, tasks: {color: scenes_color}, retrieval: scenes_retrieval, metric: acc_balanced, checkpoints: last}
contact_sheets: {tasks: {color: scenes_color}, most: 4}
notes: ["What is **learnt**."]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    (place / "small.yaml").write_text(STUDY)
    study, folder = load_study(str(place / "small.yaml")), StudyFolder(place / "out")
    folder.claim(study)
    options = StudyOptions(device="cpu", image_cache=place / "cache")
    # The last first: what it is made of is trained when it is needed.
    runs = runs_of(study)[::-1]
    events = list(StudyRunner(study, folder, options, ignore_progress).run(runs))
    assert not [event for event in events if event.failed]
    write_report(study, folder)
    return study, folder, options, events


def named(study, name):
    return next(run for run in runs_of(study) if run.name == name)


def weights(folder, run):
    return load_file(folder.model(run) / "model.safetensors")


def test_the_base_model_is_trained_once_before_what_starts_from_it(done):
    study, folder, _, events = done
    trained = [event.run for event in events if event.text.startswith("training;")]
    assert trained[0] == "orig"
    assert sorted(trained) == sorted(["orig", "color-control-seed0", "color-hn1-seed0", "color-matched-seed0"])
    base = load_model(str(folder.model(named(study, "orig"))), device="cpu").fingerprint
    assert base != load_model("demo", device="cpu").fingerprint
    for name in ("color-control-seed0", "color-hn1-seed0", "color-matched-seed0"):
        assert folder.training(named(study, name)).model["fingerprint"] == base


def test_an_interpolated_model_has_weights_half_way_and_its_own_score(done):
    study, folder, _, _ = done
    between = named(study, "color-hn1-alpha0.5-seed0")
    ends = [weights(folder, run) for run in (named(study, "orig"), between.finetuned)]
    half = {name: ((ends[0][name].double() + ends[1][name].double()) / 2).float() for name in ends[0]}
    model = load_model(str(folder.model(between.finetuned)), device="cpu")
    model.module.load_state_dict(half)
    step = folder.training(between.finetuned).checkpoints[-1][0]
    scored = {
        run.name: [sample.scores for sample in logged_samples(folder.scores(run, step, "scenes_color"), "scenes_color")]
        for run in (between, between.finetuned)
    }
    assert scored[between.name] != scored[between.finetuned.name]
    from clipbench import evaluate

    direct = evaluate(model, "scenes_color", limit=60).metric("scenes_color", "acc")
    found = folder.results(between, step, "scenes_color")
    assert found.metric("scenes_color", "acc") == direct
    assert not folder.model(between).exists()


def test_gains_are_differences_of_the_scores_beside_them(done):
    _, folder, _, _ = done
    report = json.loads((folder.path / "report.json").read_text())
    tables = {table["id"]: {tuple(row["titles"]): row["cells"] for row in table["rows"]} for table in report["tables"]}
    scores, gains = tables["scores"], tables["gains"]
    assert [titles[1] for titles in scores] == ["best blind rule", "Orig.", "Clas.", "HN1", "matched"]
    assert [titles[1] for titles in gains] == ["HN1", "matched", "HN1, α 0.5"]
    assert [titles[1] for titles in tables["more"]] == ["Clas.", "matched", "HN1, α 0.5"]
    for name in ("HN1", "matched"):
        for column in (0, 1):
            difference = scores["color", name][column]["value"] - scores["color", "Clas."][column]["value"]
            assert gains["color", name][column]["value"] == pytest.approx(difference)
            # Paired: closer than what two independent errors add up to.
            independent = [scores["color", kind][column]["margin"] for kind in (name, "Clas.")]
            assert 0 < gains["color", name][column]["margin"] < sum(each**2 for each in independent) ** 0.5
    blind = scores["color", "best blind rule"]
    results = folder.results(runs_of(load_study_of(folder))[0], 0, "scenes_color").tasks["scenes_color"]
    assert [cell["value"] for cell in blind] == [results.best_blind, results.blind_floor("acc_balanced")]


def load_study_of(folder):
    return load_study(str(folder.path.parent / "small.yaml"))


def test_findings_tell_gains_in_accuracy_from_gains_averaged_over_keywords(done):
    _, folder, _, _ = done
    findings = json.loads((folder.path / "report.json").read_text())["findings"]
    statements = [finding["statement"] for finding in findings]
    assert set(statements) == {
        "A hard negative raises accuracy over classical training",
        "The gain is not only the keywords' frequency",
        "It costs little retrieval",
        "It is a better trade-off than HN1",
    }
    text = (folder.path / "report.md").read_text()
    assert "What is **learnt**." in text
    assert "the best blind rule has" in text
    assert "+" in text.split("## G")[1].split("##")[0]  # differences are shown with their sign


def test_samples_that_turned_are_drawn(done):
    from PIL import Image

    study, folder, _, _ = done
    runs = [named(study, name) for name in ("color-hn1-seed0", "color-control-seed0")]
    step = folder.training(runs[0]).checkpoints[-1][0]
    files = (folder.scores(run, step, "scenes_color") for run in runs)
    hn1, control = ({sample.id: sample.correct for sample in logged_samples(file, "scenes_color")} for file in files)
    assert hn1.keys() == control.keys()
    for which, right in (("right", True), ("wrong", False)):
        turned = [name for name in hn1 if hn1[name] == right != control[name]]
        sheet = folder.path / "sheets" / f"scenes_color-{which}.png"
        assert sheet.exists() == bool(turned)
        if turned:
            with Image.open(sheet) as picture:
                assert picture.width > 200


def test_what_is_trained_on_is_read_for_methods_too(done):
    study, folder, options, _ = done
    assert overlap_warnings(study, folder, options, ignore_progress) == []


def test_a_task_with_a_limit_of_its_own_is_scored_on_so_many(done):
    study, folder, _, _ = done
    orig = named(study, "orig")
    for task, number in (("scenes_color", 60), ("scenes_retrieval", 20)):
        counts = folder.results(orig, 0, task).tasks[task].counts
        assert (counts.original, counts.effective) == (number, number)


def test_nothing_is_done_twice(done):
    study, folder, options, _ = done
    events = list(StudyRunner(study, folder, options, ignore_progress).run(runs_of(study)))
    assert events == [RunEvent(run.name, ended=True) for run in runs_of(study)]


def test_samples_that_are_gone_are_scored_anew(done):
    study, folder, options, _ = done
    run = named(study, "color-control-seed0")
    step = folder.training(run).checkpoints[-1][0]
    log = folder.samples(run, step, "scenes_color")
    before = log.read_text()
    log.unlink()
    events = list(StudyRunner(study, folder, options, ignore_progress).run([run]))
    assert [event.text.split(" in ")[0] for event in events] == ["epoch 1: scored on scenes_color", ""]
    assert log.read_text() == before


def test_the_commands_train_the_same_without_the_study(done):
    study, folder, options, _ = done
    base = finetune_command(training_job(study, named(study, "orig"), folder, options))
    assert "--model demo --train_data scenes=60 --concept none" in base
    assert "--max_steps 2" in base
    one = finetune_command(training_job(study, named(study, "color-matched-seed0"), folder, options))
    assert f"--model {folder.model(named(study, 'orig'))} " in one
    assert "--replacement_sampling matched" in one


def test_methods_may_be_added_to_a_folder_but_not_changed(done):
    study, folder, _, _ = done
    folder.check(study.without_methods())
    more = {**study.training.methods, "mask": {"same_image": "mask"}}
    folder.check(study.model_copy(update={"training": study.training.model_copy(update={"methods": more})}))
    other = study.training.model_copy(update={"methods": {"matched": {"same_image": "mask"}}})
    from clipbench.errors import ConfigError

    with pytest.raises(ConfigError, match="method matched .*replacement_sampling.* there and .*same_image"):
        folder.check(study.model_copy(update={"training": other}))
