import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from clipbench.errors import ConfigError, DataError, ModelError, ResultError
from clipbench.models import load_model
from clipbench.models.demo import FOLDER
from clipbench.training import checkpoints
from clipbench.training.checkpoints import checkpoints_in
from clipbench.training.events import Checkpoint, StepLog
from clipbench.training.run_folder import RunFolder
from tests.training.table import COLORS, write_table


def steps_of(run):
    return [event for event in run.run() if isinstance(event, StepLog)]


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_equal_weights(left, right):
    left, right = weights(left), weights(right)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_eight_pairs_are_learnt_by_heart_and_with_negatives_each_caption_before_its_variants(start, tmp_path):
    """The point of it all, in small: only what is trained on is told apart."""
    shares = {}
    for negatives in (0, 1):
        folder = tmp_path / str(negatives)
        run = start(folder, limit=8, negatives=negatives, epochs=200, checkpoint_every=200)
        losses = [done.loss for done in steps_of(run)]
        assert losses[0] > 1.5
        assert losses[-1] < 0.1
        shares[negatives] = share_ranked_first(load_model(str(folder), device="cpu"), run.setup.pairs)
    assert shares[1] == 1.0
    assert shares[0] < shares[1]


@torch.no_grad()
def share_ranked_first(model, pairs):
    right = []
    for image, (variants,) in zip(pairs.image_of, pairs.negatives.variants, strict=True):
        feature = model.image_features(model.preprocess(pairs.images[image].open())[None])
        texts = model.text_features(model.tokenize(list(variants)))
        right.append(int(torch.cosine_similarity(feature, texts).argmax()) == 0)
    return sum(right) / len(right)


def test_the_folder_is_a_model_and_its_checkpoints_are(start, tmp_path):
    run = start(tmp_path, checkpoint_every=1 / 3)
    saved = [event for event in run.run() if isinstance(event, Checkpoint)]
    assert [event.step for event in saved] == [1, 2, 3]
    assert_equal_weights(tmp_path, saved[-1].path)
    assert load_model(str(tmp_path), device="cpu").info.activation == load_model("demo").info.activation
    before, after = weights(FOLDER), weights(tmp_path)
    assert before.keys() == after.keys()
    # Some embeddings of words that never occur change by weight decay alone; all others by gradients.
    assert all(not torch.equal(before[name], after[name]) for name in before if before[name].is_floating_point())


def test_an_open_clip_model_stays_one(start, tmp_path, tiny_open_clip):
    steps_of(start(tmp_path, model=tiny_open_clip))
    model = load_model(str(tmp_path), device="cpu")
    assert model.info.library == "open_clip"
    assert (tmp_path / "open_clip_config.json").is_file()


@pytest.mark.parametrize("micro_batch_size", [None, 3])
def test_going_on_after_a_stop_ends_with_the_same_weights(start, tmp_path, micro_batch_size):
    fields = {"epochs": 2, "checkpoint_every": 1 / 3, "negatives": 2, "micro_batch_size": micro_batch_size}
    steps_of(start(tmp_path / "whole", **fields))
    for event in start(tmp_path / "parts", **fields).run():
        if isinstance(event, StepLog) and event.step == 4:
            break  # leaves the fourth step undone: the checkpoint is the third step's
    run = start(tmp_path / "parts", **fields)
    later = steps_of(run)
    assert later[0].step in (4, 5)
    assert any("resuming from step" in note for note in run.notes)
    assert_equal_weights(tmp_path / "whole", tmp_path / "parts")
    logs = [[json.loads(line) for line in (tmp_path / name / "training_log.jsonl").read_text().splitlines()]
            for name in ("whole", "parts")]  # fmt: skip
    assert all(entry.pop("samples_per_second") > 0 for log in logs for entry in log)
    assert logs[0] == logs[1]
    assert [entry["step"] for entry in logs[0]] == [1, 2, 3, 4, 5, 6]


def command(table, cache, out):
    words = [sys.executable, "-m", "clipbench", "finetune", "--model", "demo", "--train_data", table,
             "--concept", "color", "--batch_size", 8, "--lr", 1e-3, "--epochs", 10, "--checkpoint_every", 1 / 3,
             "--keep", 2, "--ema", 0.9, "--image_cache", cache, "--device", "cpu", "--output_path", out]  # fmt: skip
    return [str(word) for word in words]


def test_killed_again_and_again_it_ends_with_the_same_weights(tmp_path, table):
    whole = subprocess.run(command(table, tmp_path / "cache", tmp_path / "whole"), capture_output=True)
    assert whole.returncode == 0, whole.stderr.decode()
    killed = tmp_path / "killed"
    for wanted in (4, 17):  # steps to see before the kill, which then hits wherever it is
        process = subprocess.Popen(command(table, tmp_path / "cache", killed), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 200
        while _newest(killed) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command(table, tmp_path / "cache", killed), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"resuming from step (\d+) of 30", done.stderr)[1]) >= 17
    assert_equal_weights(tmp_path / "whole", killed)
    assert not list(killed.glob(".*"))


def _newest(folder):
    return max((int(path.name[-6:]) for path in folder.glob("checkpoint-*")), default=0)


def test_a_checkpoint_that_was_damaged_is_passed_over(start, tmp_path):
    fields = {"epochs": 2, "checkpoint_every": 1 / 3}
    steps_of(start(tmp_path / "whole", **fields))
    for event in start(tmp_path / "damaged", **fields).run():
        if isinstance(event, Checkpoint) and event.step == 4:
            break
    newest = checkpoints_in(tmp_path / "damaged")[-1]
    content = bytearray((newest / "training_state.safetensors").read_bytes())
    content[-5] ^= 1
    (newest / "training_state.safetensors").write_bytes(content)
    run = start(tmp_path / "damaged", **fields)
    assert steps_of(run)[0].step == 4
    assert any("damaged: the checksum differs; trying the previous checkpoint" in note for note in run.notes)
    assert_equal_weights(tmp_path / "whole", tmp_path / "damaged")


def test_a_half_written_checkpoint_is_never_taken(start, tmp_path):
    steps_of(start(tmp_path))
    half = tmp_path / ".checkpoint-000099.part"
    half.mkdir()
    (tmp_path / "checkpoint-000100").mkdir()  # no training.json: not one of ours that is whole
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        "checkpoint-000001",
        "checkpoint-000002",
        "checkpoint-000003",
    ]
    run = start(tmp_path)
    assert steps_of(run) == []
    assert not half.exists()


def test_a_checkpoint_that_cannot_be_deleted_is_named_and_the_run_ends(start, tmp_path, monkeypatch):
    real = checkpoints.shutil.rmtree

    def refuse(path, **options):
        if path.name == "checkpoint-000001":
            raise PermissionError(13, "Permission denied", "inner")
        real(path, **options)

    monkeypatch.setattr(checkpoints.shutil, "rmtree", refuse)
    run = start(tmp_path / "run", checkpoint_every=1 / 3, keep=1)
    steps_of(run)
    assert any(
        f"warning: {tmp_path / 'run' / 'checkpoint-000001'}: cannot be deleted: Permission denied" in note
        for note in run.notes
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_old_checkpoints_and_their_states_go(start, tmp_path):
    steps_of(start(tmp_path / "some", checkpoint_every=1 / 3, keep=1))
    assert [path.name for path in checkpoints_in(tmp_path / "some")] == ["checkpoint-000003"]
    steps_of(start(tmp_path / "all", checkpoint_every=1 / 3))
    states = [(path / "training_state.safetensors").exists() for path in checkpoints_in(tmp_path / "all")]
    assert states == [False, True, True]


def test_a_full_disk_stops_nothing_but_the_last_checkpoint(start, tmp_path, monkeypatch):
    steps_of(start(tmp_path / "whole", checkpoint_every=1 / 3))
    real, full = checkpoints.save_file, {"steps": {2, 3}}

    def failing(tensors, path):
        if int(path.parent.name.split("-")[1].split(".")[0]) in full["steps"]:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", failing)
    run = start(tmp_path / "full", checkpoint_every=1 / 3)
    with pytest.raises(
        ResultError,
        match=r"checkpoint-000003: cannot be written: No space left on device; earlier checkpoints are kept",
    ):
        steps_of(run)
    assert any("checkpoint-000002: cannot be written: No space left" in note for note in run.notes)
    assert [path.name for path in checkpoints_in(tmp_path / "full")] == ["checkpoint-000001"]
    assert not list((tmp_path / "full").glob(".*"))
    full["steps"] = set()
    steps_of(start(tmp_path / "full", checkpoint_every=1 / 3))
    assert_equal_weights(tmp_path / "whole", tmp_path / "full")


def test_a_log_that_could_not_be_written_is_written_later(start, tmp_path, monkeypatch):
    real, calls = RunFolder.log, []

    def failing(folder, entries, before):
        calls.append(before)
        if len(calls) == 2:
            raise ResultError("no space left")
        real(folder, entries, before)

    monkeypatch.setattr(RunFolder, "log", failing)
    steps_of(start(tmp_path, checkpoint_every=1 / 3))
    log = [json.loads(line)["step"] for line in (tmp_path / "training_log.jsonl").read_text().splitlines()]
    assert log == [1, 2, 3]


def test_another_runs_folder_is_refused(start, tmp_path, tiny_open_clip):
    steps_of(start(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"holds a run with another recipe: negatives is 1, not 0"):
        start(tmp_path / "run", negatives=0)
    with pytest.raises(ConfigError, match=r"holds a run with another model: fingerprint"):
        start(tmp_path / "run", model=tiny_open_clip)
    with pytest.raises(ConfigError, match=r"holds a run with other data: pairs is 24, not 16"):
        start(tmp_path / "run", limit=16)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"holds other files but no fine-tuning run"):
        start(tmp_path / "other")


def test_fewer_captions_than_a_batch(start, tmp_path):
    with pytest.raises(DataError, match=r"24 captions with a keyword, fewer than a batch of 32"):
        start(tmp_path, batch_size=32)


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(start, tmp_path):
    run = start(tmp_path, learning_rate=1e30, checkpoint_every=3, epochs=3)
    with pytest.raises(ModelError, match=r"the loss of step 2 is nan \(batch \d+, .*the last checkpoint is kept"):
        steps_of(run)
    assert checkpoints_in(tmp_path) == []


def test_captions_cut_before_their_keyword_have_no_negatives(start, tmp_path):
    """Cut to the context, caption and negative read the same: an image must not be driven from its own caption."""
    captions = ["very " * 90 + "red cat", *[f"a {color} cat" for color in ("red", "blue", "green", "white", "black")]]
    run = start(tmp_path / "run", data=write_table(tmp_path / "t", captions=captions), batch_size=6, negatives=2)
    batch = run.setup.batches.make(0)
    assert [bool(valid.any()) for valid in batch.valid] == [name != "0" for name in batch.ids]
    assert torch.isfinite(torch.tensor([done.loss for done in steps_of(run)])).all()


def test_broken_images_are_refused_or_left_out(start, tmp_path):
    table = write_table(tmp_path / "t", captions=[f"a {color} boat" for color in COLORS])
    (tmp_path / "t" / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 image cannot be read \(.*3\.png.*\); set allow_missing"):
        start(tmp_path / "a", data=table)
    run = start(tmp_path / "b", data=table, allow_missing=True)
    assert len(run.setup.pairs) == 8
    assert any("1 caption left out" in note for note in run.notes)


def test_the_same_recipe_gives_the_same_batches_for_any_number_of_negatives(start, tmp_path):
    """Classical and hard-negative runs are compared: they must see the same images in the same order."""
    ids = [start(tmp_path / str(k), negatives=k).setup.batches.make(2).ids for k in (0, 1, 3)]
    assert ids[0] == ids[1] == ids[2]


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_half_precision_trains_full_precision_weights(start, tmp_path, tiny_clip, tiny_open_clip, library):
    """At the paper's rate an update is less than half an fp16 step of a weight: it must not be lost."""
    model = tiny_clip if library == "transformers" else tiny_open_clip
    run = start(tmp_path, model=model, precision="bf16", learning_rate=5e-6, checkpoint_every=1)
    start_loss, *_ = [done.loss for done in steps_of(run)]
    full = start(tmp_path / "full", model=model, learning_rate=5e-6, checkpoint_every=1)
    assert abs(start_loss - steps_of(full)[0].loss) < 0.05
    file = "model.safetensors" if library == "transformers" else "open_clip_model.safetensors"
    before, after = load_file(model / file), load_file(tmp_path / file)
    moved = [name for name in before if before[name].is_floating_point() and not torch.equal(before[name], after[name])]
    assert len(moved) > 20
    assert all(after[name].dtype == torch.float32 for name in moved)
    assert max((after[name] - before[name]).abs().max() for name in moved) < 5e-5


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_every_low_rank_adapter_learns_on_the_path_that_is_trained(start, tmp_path, tiny_clip, tiny_open_clip, library):
    """Texts are packed in training: adapters must not be bypassed there."""
    from tests.training.gradients import gradients

    run = start(tmp_path, model=tiny_clip if library == "transformers" else tiny_open_clip, lora_rank=2)
    assert run.setup.model.packed_text
    found = gradients(run)
    adapters = [name for name in found if "lora_B" in name]
    assert len(adapters) >= 8
    assert all(found[name].abs().max() > 0 for name in adapters)


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_the_model_is_there_in_both_libraries_with_equal_logits(start, tmp_path, tiny_clip, tiny_open_clip, library):
    run = start(tmp_path, model=tiny_clip if library == "transformers" else tiny_open_clip)
    steps_of(run)
    other = {"transformers": "open_clip", "open_clip": "transformers"}[library]
    aligned = {"transformers": {}, "open_clip": {"center_crop": "transformers"}}
    folders = {library: tmp_path, other: tmp_path / other}
    models = [load_model(path, model_args=aligned[name], device="cpu") for name, path in folders.items()]
    assert [model.info.library for model in models] == [library, other]
    assert len({str(model.info.activation) for model in models}) == 1
    image, texts = run.setup.pairs.images[0].open(), ["a red cat", "a blue cat on the left of a house"]
    with torch.no_grad():
        logits = [
            model.logit_scale
            * torch.cosine_similarity(
                model.image_features(model.preprocess(image)[None]), model.text_features(model.tokenize(texts))
            )
            for model in models
        ]
    assert (logits[0] - logits[1]).abs().max() < 1e-4


def test_a_vocabulary_of_its_own_leaves_one_format(start, tmp_path):
    run = start(tmp_path)
    steps_of(run)
    assert any("only in its own library's format" in note and "vocabulary of its own" in note for note in run.notes)
    assert not (tmp_path / "open_clip").exists()
