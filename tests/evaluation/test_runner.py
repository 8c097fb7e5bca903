import json
import math

import pytest
import torch
from PIL import Image

import clipbench
from clipbench.errors import ConfigError, UnknownName
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.results import Measure, read_results
from clipbench.task_types import RankingTask
from clipbench.task_types.registry import select_tasks
from tests.oracles import OracleModel, numbered_image, oracle
from tests.toy import CAPTIONS, write_toy

OWNERS = {caption: number for number, caption in enumerate(CAPTIONS)}


def test_the_function_is_not_hidden_by_its_module():
    assert callable(clipbench.evaluate)
    assert callable(clipbench.load_model)
    with pytest.raises(AttributeError, match="evaluat"):
        clipbench.evaluat  # noqa: B018


def test_a_yaml_task_end_to_end_prints_nothing(tmp_path, capfd):
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path, expected_n=2, groups=["toys"])))
    assert capfd.readouterr() == ("", "")
    assert results.metric("toy_color", "acc") == 1
    report = results.tasks["toy_color"]
    assert report.complete
    assert report.error is None
    assert (results.tasks["toy_color"].counts.original, results.tasks["toy_color"].counts.effective) == (2, 2)
    assert report.breakdown.keys() == {"red", "white"}
    assert results.groups["toys"].mean.value == 1
    assert results.groups["toys"].tasks == ["toy_color"]
    assert results.tasks["toy_color"].version == 1
    assert results.tasks["toy_color"].higher_is_better == {"acc": True, "acc_balanced": True}


BLIND = {
    "the red car": 0, "red cars on a road": 1, "the blue car": 2, "the red bus": 3, "the red bed": 4,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["perfect", "constant", "random"])
def test_results_hold_what_needs_no_image_whatever_the_model(tmp_path, kind):
    file = str(write_toy(tmp_path, list(BLIND)))
    results = clipbench.evaluate(oracle(kind, BLIND), file, output_path=tmp_path / "out")
    task = results.tasks["toy_color"]
    # Red is the prior; but of other images' cars the only one is blue.
    assert task.blind == {"keyword_prior": 0.8, "context_prior": 0.6}
    assert task.best_blind == 0.8
    # Averaged over the two keywords: the prior has all four red ones right, the context three of them, and none blue.
    assert task.blind_balanced == {"acc_balanced": {"keyword_prior": 0.5, "context_prior": 0.375}}
    assert [task.blind_floor(name) for name in ("acc", "acc_balanced", "recall")] == [0.8, 0.5, None]
    assert results.to_dataframe()["blind"].tolist() == [0.8, 0.5]
    (path,) = (tmp_path / "out").rglob("results_*.json")
    stored = read_results(path).tasks["toy_color"]
    assert (stored.blind, stored.blind_balanced) == (task.blind, task.blind_balanced)
    older = json.loads(path.read_text())
    del older["tasks"]["toy_color"]["blind_balanced"]
    path.write_text(json.dumps(older))
    assert read_results(path).tasks["toy_color"].blind_floor("acc_balanced") is None
    if kind == "perfect":
        assert task.metrics["acc_balanced"] == task.metrics["acc"]


def test_a_plug_in_whose_rules_fail_fails_alone(tmp_path):
    class Failing(RankingTask):
        name = "failing"
        dataset = select_tasks("scenes_color")[0].dataset
        concept = "color"

        def blind_rules(self):
            raise ZeroDivisionError("no rules")

    results = clipbench.evaluate(oracle("random", {}), [Failing, "scenes_color"], limit=4)
    assert results.failed == ["failing"]
    assert "ZeroDivisionError" in results.tasks["failing"].error
    assert results.tasks["scenes_color"].blind.keys() == {"keyword_prior", "context_prior"}


def test_balanced_accuracy_takes_the_keyword_prior_away(tmp_path):
    """A model that knows only that captions say red: right on 4 of 5 captions, on one of two keywords."""

    def says(text):
        return torch.tensor([1.0, 0.0]) if "red" in text else torch.tensor([1.0, 1.0])

    model = OracleModel(lambda number: torch.tensor([1.0, 0.0]), says)
    results = clipbench.evaluate(model, str(write_toy(tmp_path, list(BLIND))))
    assert (results.metric("toy_color", "acc"), results.metric("toy_color", "acc_balanced")) == (0.8, 0.5)


def test_fewer_rows_than_expected_fail_unless_allowed(tmp_path):
    file = str(write_toy(tmp_path, expected_n=3))
    results = clipbench.evaluate(oracle("perfect", OWNERS), file)
    assert "2 samples where 3 are expected; pass allow_missing" in results.tasks["toy_color"].error
    assert math.isnan(results.metric("toy_color", "acc"))
    assert results.failed == ["toy_color"]
    allowed = clipbench.evaluate(oracle("perfect", OWNERS), file, allow_missing=True)
    assert allowed.metric("toy_color", "acc") == 1
    assert not allowed.tasks["toy_color"].complete
    assert "2 samples where 3 are expected" in allowed.tasks["toy_color"].problems


def test_a_missing_image_is_counted_and_found_before_any_model_is_needed(tmp_path):
    file = write_toy(tmp_path)
    (tmp_path / "1.png").unlink()
    (plan,) = prepare_tasks(str(file), EvaluationOptions())
    assert "1 of 2 images missing (1.png)" in plan.error
    allowed = clipbench.evaluate(oracle("perfect", OWNERS), str(file), allow_missing=True)
    assert allowed.tasks["toy_color"].missing_images == 1
    assert allowed.tasks["toy_color"].counts.effective == 1
    assert allowed.tasks["toy_color"].counts.original == 2


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_broken_image_is_named_and_what_was_computed_is_kept(tmp_path, content):
    file = write_toy(tmp_path)
    image = tmp_path / "1.png"
    image.write_bytes(image.read_bytes()[:50] if content is None else content)
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(file))
    report = results.tasks["toy_color"]
    assert "1.png" in report.error
    if content != b"":  # nothing at all counts as missing, which is known beforehand
        assert results.metric("toy_color", "acc") == 1
        assert report.broken_images == 1
    allowed = clipbench.evaluate(oracle("perfect", OWNERS), str(file), allow_missing=True)
    assert allowed.tasks["toy_color"].error is None
    assert allowed.tasks["toy_color"].counts.effective == 1


@pytest.mark.parametrize("kind", ["CMYK", "I;16", "P", "LA", "gif", "exif"])
def test_odd_images_work(tmp_path, kind):
    file = write_toy(tmp_path)
    picture = Image.new("RGB", (8, 8), (0, 0, 77))
    name = tmp_path / "0.png"
    if kind == "CMYK":
        picture.convert("CMYK").save(name, "TIFF")
    elif kind == "I;16":
        Image.new("I;16", (8, 8), 0).save(name)
    elif kind == "gif":
        picture.save(name, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), (99, 9, 9))])
    elif kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(name, "PNG", exif=exif)
    elif kind == "LA":
        Image.new("LA", (8, 8), (0, 255)).save(name)
    else:
        picture.convert(kind).save(name)
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(file))
    assert results.metric("toy_color", "acc") == 1


@pytest.mark.parametrize(
    ("task", "note"),
    [
        ({"name": "toy_color"}, "all 2 samples tied"),
        ({"name": "toy_retrieval", "task_type": "retrieval", "concept": None}, "all 8 samples tied"),
    ],
)
def test_ties_are_said(tmp_path, task, note):
    file = str(write_toy(tmp_path, **task))
    report = clipbench.evaluate(oracle("constant", OWNERS), file).tasks[task["name"]]
    assert [problem for problem in report.problems if note in problem], report.problems
    assert not clipbench.evaluate(oracle("perfect", OWNERS), file).tasks[task["name"]].problems


def test_some_ties_are_counted(tmp_path):
    file = write_toy(tmp_path, [*CAPTIONS, CAPTIONS[0]], name="t", task_type="retrieval", concept=None)
    (tmp_path / "4.png").write_bytes((tmp_path / "0.png").read_bytes())
    report = clipbench.evaluate(oracle("perfect", OWNERS), str(file)).tasks["t"]
    assert report.problems == ["4 of 10 samples tied: an equal score is not a win"]


def test_no_sample_at_all_is_an_error(tmp_path):
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path, ["a dog"])), allow_missing=True)
    assert "no sample in the data" in results.tasks["toy_color"].error


def test_a_limit_takes_the_first_samples_and_expects_no_number(tmp_path):
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path, expected_n=99)), limit=1)
    assert results.tasks["toy_color"].error is None
    assert results.tasks["toy_color"].counts.effective == 1
    assert results.config.limit == 1


def test_one_failing_task_leaves_the_others_their_numbers(tmp_path):
    good, bad = write_toy(tmp_path / "good"), write_toy(tmp_path / "bad", name="bad_color")
    (tmp_path / "bad/toy.csv").unlink()
    results = clipbench.evaluate(oracle("perfect", OWNERS), [str(bad), str(good)])
    assert results.failed == ["bad_color"]
    assert results.metric("toy_color", "acc") == 1


def test_rows_that_cannot_be_judged(tmp_path):
    import csv

    with (tmp_path / "pairs.csv").open("w", newline="") as handle:
        rows = [["a", "b", "one", "two"], ["a", "b", "same", "same"], ["a", "b", "", "two"]]
        csv.writer(handle).writerows([["i0", "i1", "c0", "c1"], *([f"{a}.png", f"{b}.png", *c] for a, b, *c in rows)])
    for number, name in enumerate("ab"):
        Image.new("RGB", (8, 8), (number, 0, 77)).save(tmp_path / f"{name}.png")
    columns = {"path": "pairs.csv", "images": ["i0", "i1"], "captions": ["c0", "c1"]}
    file = str(write_toy(tmp_path, name="pairs", task_type="pairs", concept=None, dataset=columns))
    model = oracle("perfect", {"one": 0, "two": 1})
    strict = clipbench.evaluate(model, file)
    assert "2 samples cannot be scored" in strict.tasks["pairs"].error
    assert "both captions are the same" in strict.tasks["pairs"].error
    allowed = clipbench.evaluate(model, file, allow_missing=True)
    assert allowed.metric("pairs", "acc") == 1
    assert (allowed.tasks["pairs"].invalid, allowed.tasks["pairs"].counts.effective) == (2, 1)


def test_cut_captions_are_reported(tmp_path):
    long = "a white dog " + "and so on " * 30
    results = clipbench.evaluate(oracle("random", {}), str(write_toy(tmp_path, [long])))
    assert results.tasks["toy_color"].truncated_texts == 9
    assert any("9 texts longer than the model's context" in line for line in results.tasks["toy_color"].problems)


def test_data_for_a_dataset_that_no_task_reads(tmp_path):
    with pytest.raises(UnknownName, match="no selected task reads 'cocoa'; they read toy_color"):
        clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path)), data={"cocoa": "x"})


def test_a_column_named_in_the_location(tmp_path):
    file = write_toy(tmp_path)
    table = tmp_path / "toy.csv"
    table.write_text(table.read_text().replace("caption", "words", 1))
    results = clipbench.evaluate(
        oracle("perfect", OWNERS), str(file), data={"toy_color": f"{table}?captions=words&images=image"}
    )
    assert results.metric("toy_color", "acc") == 1
    with pytest.raises(ConfigError, match=r"only images=, captions=, false_captions=, fields=.* may follow"):
        prepare_tasks(str(file), EvaluationOptions(data={"toy_color": f"{table}?x=y"}))


def test_two_datasets_with_the_same_names_and_captions_keep_their_own_images(tmp_path):
    """As an original and an edited copy are: the captions' file is the same to the letter, the pictures are not."""
    original, edited = write_toy(tmp_path / "a", name="original"), write_toy(tmp_path / "b", name="edited")
    for number in range(4):
        numbered_image(number + 10).save(tmp_path / f"b/{number}.png")
    assert (tmp_path / "a/toy.csv").read_bytes() == (tmp_path / "b/toy.csv").read_bytes()
    model = oracle("perfect", OWNERS)
    both = clipbench.evaluate(model, [str(original), str(edited)])
    alone = clipbench.evaluate(model, str(edited))
    assert both.metric("original", "acc") == 1
    assert both.tasks["edited"].metrics == alone.tasks["edited"].metrics
    assert both.metric("edited", "acc") < 1


def test_tasks_over_the_same_table_decode_its_images_once(tmp_path):
    first, second = write_toy(tmp_path), tmp_path / "again.yaml"
    second.write_text(first.read_text().replace("toy_color", "again"))
    model = oracle("perfect", OWNERS)
    clipbench.evaluate(model, [str(first), str(second)])
    assert model.decoded == 2


def test_a_limited_run_says_that_it_is_not_complete(tmp_path):
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path, groups=["g"])), limit=1)
    assert not results.tasks["toy_color"].complete
    assert "limited to the first 1 samples" in results.tasks["toy_color"].problems[0]
    assert not results.groups["g"].complete
    assert json.loads(results.to_json())["groups"]["g"]["alias"] == "g (incomplete)"


def test_a_group_is_whole_or_has_no_mean(tmp_path):
    paths = tuple(write_toy(tmp_path / name, name=name, groups=["g"]) for name in ("one", "other"))
    part = clipbench.evaluate(oracle("perfect", OWNERS), "one", include_path=paths)
    assert part.groups == {}
    whole = clipbench.evaluate(oracle("perfect", OWNERS), "g", include_path=paths)
    assert whole.groups["g"].tasks == ["one", "other"]
    assert (whole.groups["g"].mean, whole.groups["g"].complete) == (Measure(1.0, 0.0), True)


@pytest.mark.parametrize("where", ["score_sample", "samples"])
def test_a_plugin_that_raises_costs_its_own_task_only(tmp_path, where):
    good = select_tasks(str(write_toy(tmp_path)))[0]

    class Broken(type(good)):
        name = "broken"

    def fail(self, *arguments):
        raise KeyError("x")

    setattr(Broken, where, fail)
    results = clipbench.evaluate(oracle("perfect", OWNERS), [Broken, good])
    assert results.metric("toy_color", "acc") == 1
    assert results.tasks["broken"].error.startswith("broken: KeyError: 'x' (")
    assert "test_runner.py:" in results.tasks["broken"].error


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": "many"}, {"limit": 0}, {"workers": 0}])
def test_options_that_make_no_sense(tmp_path, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} .*: give "):
        clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path)), **options)


def test_chance_follows_from_the_variants_of_ones_own_concept(tmp_path):
    (tmp_path / "c.yaml").write_text("name: c\nreplacements: {dog: [cat], boat: [car, bus, kite]}\n")
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path, name="t", concept="c.yaml")))
    assert results.tasks["t"].chance == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_the_result_says_which_weights_and_options(tmp_path):
    results = clipbench.evaluate(oracle("perfect", OWNERS), str(write_toy(tmp_path)), seed=5)
    assert results.model_fingerprint == "oracle"
    config = results.config.model_dump()
    assert config["seed"] == 5
    assert {"data", "batch_size", "limit", "allow_missing", "streaming", "include_path"} <= config.keys()


def test_streamed_data_is_read_once_and_still_checked(tmp_path):
    file = str(write_toy(tmp_path, expected_n=3))
    results = clipbench.evaluate(oracle("perfect", OWNERS), file, streaming=True)
    assert "2 samples where 3 are expected" in results.tasks["toy_color"].error
    assert results.metric("toy_color", "acc") == 1  # computed before that was known, and kept
