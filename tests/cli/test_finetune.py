import dataclasses
import json
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from clipbench.cli.finetune import command
from clipbench.cli.finetune_flags import RECIPE, RUN
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from tests.training.table import COLORS, write_coco, write_table


@pytest.fixture
def flags(tmp_path):
    table = write_table(tmp_path / "table")
    return ["finetune", "--model", "demo", "--train_data", table, "--concept", "color", "--batch_size", 8,
            "--epochs", 1, "--device", "cpu", "--image_cache", tmp_path / "cache",
            "--output_path", tmp_path / "out"]  # fmt: skip


def without(flags, names):
    """The flags without some options and their values."""
    pairs = zip(flags[1::2], flags[2::2], strict=True)
    return [flags[0], *(part for pair in pairs if pair[0] not in names for part in pair)]


def test_the_documented_command_then_eval(run, flags, tmp_path):
    code, out, err = run(*flags, "--checkpoint_every", 0.5, "--eval_tasks", "scenes_color,scenes_retrieval",
                         "--eval_limit", 20)  # fmt: skip
    assert code == 0, err
    checkpoints, changes = out.split("\n\n")
    assert [line.split()[0] for line in checkpoints.splitlines()[2:]] == ["0", "2", "3"]
    assert [line.split()[0] for line in changes.splitlines()[2:]] == ["scenes_color", "scenes_retrieval"]
    assert "24 captions of 24 images, 3 steps" in err
    facts = json.loads((tmp_path / "out/finetune.json").read_text())
    assert facts["status"] == "finished"
    assert facts["recipe"]["negatives"] == 1
    assert facts["data"]["pairs"] == 24
    points = json.loads((tmp_path / "out/tradeoff.json").read_text())["points"]
    assert [point["step"] for point in points] == [0, 2, 3]
    assert (tmp_path / "out/tradeoff.svg").read_text().startswith("<?xml")
    assert "2403.02875" in (tmp_path / "out/README.md").read_text()
    code, out, err = run("eval", "--model", tmp_path / "out", "--tasks", "scenes_color", "--limit", 20,
                         "--format", "json")  # fmt: skip
    assert code == 0, err
    last = json.loads((tmp_path / "out/evaluations/step-000003.json").read_text())
    assert json.loads(out)["results"]["scenes_color"] == last["results"]["scenes_color"]


def test_flags_may_stand_in_a_file(run, flags, tmp_path):
    (tmp_path / "run.yaml").write_text("negatives: 0\nfreeze: [image]\nlearning_rate: 0.001\nmicro-batch-size: 3\n")
    code, _, err = run(*flags, "--config", tmp_path / "run.yaml")
    assert code == 0, err
    recipe = json.loads((tmp_path / "out/finetune.json").read_text())["recipe"]
    assert (recipe["negatives"], recipe["freeze"], recipe["learning_rate"]) == (0, ["image"], 0.001)


def test_any_two_encoders(run, flags, tmp_path):
    from tests.models.builders import build_bert, build_vit

    vision, text = build_vit(tmp_path / "vit"), build_bert(tmp_path / "bert")
    pair = ["--vision", vision, "--text", text, *flags[3:]]
    code, _, err = run("finetune", *pair)
    assert code == 0, err
    assert json.loads((tmp_path / "out/finetune.json").read_text())["model"]["id"].startswith("dual_encoder:")
    assert any(name.startswith("text_model.") for name in load_file(tmp_path / "out/model.safetensors"))


def test_how_two_encoders_are_paired(run, flags, tmp_path):
    from tests.models.builders import build_bert, build_vit

    vision, text = build_vit(tmp_path / "vit"), build_bert(tmp_path / "bert")
    how = ["--pooling", "image=mean,text=cls", "--projection", "mlp", "--projection_dim", 24, "--freeze", "image"]
    further = ["--unfreeze_text_layers", 0, "--layer_decay", 0.5, "--projection_lr", 0.01, "--center_images"]
    code, _, err = run("finetune", "--vision", vision, "--text", text, *flags[3:], *how, *further)
    assert code == 0, err
    assert "pooling: image=mean, text=cls" in err
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert {config["image_pooling"], config["text_pooling"]} == {"mean", "cls"}
    assert (config["image_projection"], config["text_projection"], config["projection_dim"]) == ("mlp", "mlp", 24)
    assert config["centered"]
    recipe = json.loads((tmp_path / "out/finetune.json").read_text())["recipe"]
    assert (recipe["layer_decay"], recipe["projection_learning_rate"], recipe["center_images"]) == (0.5, 0.01, True)


def test_low_rank_adapters_leave_an_ordinary_model(run, flags, tmp_path):
    code, _, err = run(*flags, "--lora_rank", 2, "--lr", 1e-2)
    assert code == 0, err
    from clipbench.models.demo import FOLDER

    before, after = load_file(FOLDER / "model.safetensors"), load_file(tmp_path / "out/model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert any("q_proj.weight" in name for name in changed)
    assert not any("layer_norm" in name or "embedding" in name for name in changed)


def test_flags_have_the_defaults_of_the_option_classes():
    given = ["--train_data", "scenes", "--concept", "color", "--output_path", "out"]
    values = command.make_context("finetune", given, resilient_parsing=False).params
    assert RECIPE.build(values) == Recipe(("color",))
    assert RUN.build(values) == FinetuneOptions()
    fields = {field.name for options in (Recipe, FinetuneOptions) for field in dataclasses.fields(options)}
    assert fields - set(values) == set()  # a flag for each field


@pytest.mark.parametrize(
    ("train_data", "code", "message"),
    [
        ("cocoo", 2, "did you mean coco?"),
        ("coco=FOLDER", 2, "give the name coco only"),
        ("flickr30k", 1, "give flickr30k=PLACE"),
    ],
)
def test_training_data_that_is_not_there(run, flags, train_data, code, message):
    flags[flags.index("--train_data") + 1] = train_data
    found, _, err = run(*flags)
    assert found == code
    assert message in err


def test_one_place_serves_training_and_evaluation(run, flags, tmp_path):
    write_coco(tmp_path / "scenes", "val2017", [f"a {color} cat" for color in COLORS])
    flags[flags.index("--train_data") + 1] = "scenes"
    code, _, err = run(*flags, "--data", f"scenes={tmp_path / 'scenes'}", "--eval_tasks", "scenes_color",
                       "--eval_limit", 9)  # fmt: skip
    assert code == 0, err
    assert "9 captions of 9 images" in err
    assert "scenes_color: 9 of its 9 images are among the training images" in err


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (["--concept", "location", "--negatives", 3], 2, "location has 1 replacement only"),
        (["--concept", "colour"], 2, "did you mean color"),
        (["--data", "coco=nowhere"], 2, "not used by this run"),
        (["--train_data", "scenes"], 2, "--train_data is given 2 times"),
        (["--data", "scenes=1"], 2, "not used by this run"),
        (["--loss", "triplet"], 2, "give one of inbatch_replacement"),
        (["--loss", "svlc", "--negatives", 0], 2, "needs negatives"),
        (["--loss_args", "beta=1"], 2, "--loss_args beta: not of loss inbatch_replacement"),
        (["--loss_args", "beta"], 2, "--loss_args beta"),
        (["--loss_args", "beta=much", "--loss", "hn_nce"], 2, "--loss_args beta=much"),
        (["--loss_args", "beta=1,beta=2", "--loss", "hn_nce"], 2, "--loss_args"),
        (["--same_image", "drop"], 2, "'mask', 'keep'"),
        (["--batch_size", 32], 1, "24 captions with a keyword, fewer than a batch of 32"),
        (["--freeze", "image,text,image_projection,text_projection"], 2, "nothing is left to train"),
        (["--freeze", "vision"], 2, "give image, text, image_projection or text_projection"),
        (["--concept", "location", "--limit", 1], 1, "fewer than a batch"),
        (["--precision", "fp16"], 2, "needs a GPU"),
        (["--learning_rate", "nan"], 2, "give a number"),
        (["--checkpoint_every", 0], 2, "give 0.0001 or more"),
        (["--report_to", "tensorbord"], 2, "did you mean tensorboard?"),
        (["--report_to", "clearml"], 2, "pip install clearml"),
        (["--vision", "x"], 2, "--vision ID and --text ID"),
        (["--pooling", "mean"], 2, "--pooling: for --vision and --text; demo has its own"),
        (["--pooling", "images=mean"], 2, "--pooling images=mean: give a kind, or image=KIND,text=KIND"),
        (["--projection", "image=mlp,image=none"], 2, "--projection image=mlp,image=none: give a kind, or"),
        (["--unfreeze_image_layers", 2], 2, "needs freeze image, or all layers are trained anyway"),
        (["--center_images", "--freeze", "image"], 2, "cannot hold a mean of image features"),
        (["--layer_decay", 1.5], 2, "layer_decay 1.5: give 1 or less"),
        (["--layer_decay", 0], 2, "give 0.001 or more"),
        (["--projection_lr", -1], 2, "give 0 or more"),
        (["--eval_tasks", "scenes_colour"], 2, "did you mean scenes_color"),
        (["--eval_tasks", "coco_color", "--data", "coco=nowhere"], 2, "no such file or folder"),
        (["--mix", "general"], 2, "--mix general: write NAME=SHARE, as in general=0.5"),
        (["--mix", "general=half"], 2, "write NAME=SHARE"),
        (["--mix", "=0.5"], 2, "write NAME=SHARE"),
        (["--mix", "general=1.5"], 2, "--mix general=1.5: give a data set's name and a share between 0 and 1"),
        (["--mix", "general=0.95"], 2, "--mix general=0.95: nothing of a batch of 8 is left for --train_data"),
        (["--mix", "general=0.01"], 2, "less than one pair of a batch of 8"),
        (["--mix", "cocoo=0.5"], 2, "--mix cocoo: no such file or data set (did you mean coco?)"),
        (["--mix", "flickr30k=0.5"], 1, "--mix flickr30k: it is not hosted"),
        (["--mix", "general=0.5", "--data", "coco=nowhere"], 2, "coco: not used by this run"),
        (["--lora_alpha", 8], 2, "--lora_alpha: has no effect without --lora_rank"),
        (["--negatives", 8], 2, "in place of the other 7 captions of a batch"),
        (["--negatives_in", "image_to_text", "--loss", "negclip"], 2, "has no effect on loss negclip"),
        (["--ema", 1], 2, "ema 1.0: give 0.9999999 or less"),
        (["--ema", -0.1], 2, "ema -0.1: give 0 or more"),
        (["--ema", "nan"], 2, "give a number"),
        (["--select", "scenes_color@scenes_retrieval"], 2, "--select 'scenes_color@scenes_retrieval': CHANGE is"),
        (["--select", "scenes_color@scenes_retrieval<=0"], 2, "give TASK@TASK>=CHANGE"),
        (["--select", "scenes_colour"], 2, "did you mean scenes_color"),
        (["--model", "no/such/folder/"], 1, "no such file or directory"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_bad_input_is_answered_in_one_line(run, flags, tmp_path, changes, code, message):
    if changes[0] != "--train_data":  # which is to be given twice
        flags = [*without(flags, changes[::2]), *changes]
    found, _, err = run(*flags, *([] if changes[0] != "--train_data" else changes))
    complaint = [line for line in err.splitlines() if line.startswith("clipbench: error:")]
    assert (found, len(complaint)) == (code, 1), err
    assert message in complaint[0]
    assert "Traceback" not in err


def test_bad_combinations_are_refused_before_torch_is_imported(tmp_path):
    for bad in (["--mix", "general=2"], ["--select", "a@b"], ["--select", "nosuchtask"], ["--ema", "1"],
                ["--lora_alpha", "2"], ["--negatives", "64"], ["--mix", "general=0.5", "--mix", "general=0.2"],
                ["--eval_limit", "5"]):  # fmt: skip
        code = (
            "import sys; from clipbench.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit as e: print('torch' in sys.modules, e.code)"
        )
        words = ["finetune", "--model", "demo", "--train_data", "scenes", "--concept", "color", *bad]
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--output_path", str(tmp_path / "out")], capture_output=True, text=True
        )
        assert done.stdout == "False 2\n", (bad, done.stderr)
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_mixed_captions_are_counted(run, flags, tmp_path):
    plain = write_table(tmp_path / "plain", captions=[f"a cat number {n}" for n in range(10)])
    code, _, err = run(*flags, "--mix", f"{plain}=0.25", "--ema", 0.9, "--select", "scenes_color@scenes_retrieval>=-1",
                       "--eval_limit", 20)  # fmt: skip
    assert code == 0, err
    assert f"24 captions, 10 of {plain} of 34 images, 4 steps" in err
    assert "selected by scenes_color@scenes_retrieval>=-1: step" in err
    assert (tmp_path / "out/loss_curve.png").is_file()
    facts = json.loads((tmp_path / "out/finetune.json").read_text())
    assert facts["recipe"]["mix"] == {str(plain): 0.25}


def test_another_recipe_does_not_touch_a_finished_run(run, flags, tmp_path):
    assert run(*flags)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    code, _, err = run(*flags, "--negatives", 2)
    assert code == 2
    assert "negatives is 1, not 2" in err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
