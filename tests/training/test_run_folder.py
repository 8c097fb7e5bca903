"""A run's folder: one process at a time, and damage that is named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipbench.data.records import sha256_of
from clipbench.errors import ConfigError, ResultError
from clipbench.training.checkpoints import checkpoints_in
from clipbench.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def trained(start, tmp_path_factory):
    """A run of three steps with a checkpoint after each, killed before it was finished."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    for event in start(folder, checkpoint_every=0.34).run():
        if getattr(event, "step", 0) == 2 and hasattr(event, "path"):
            break
    return folder


def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_two_trainings_in_one_folder_are_refused(start, trained, tmp_path):
    folder = copied(trained, tmp_path)
    waiting = start(folder, checkpoint_every=0.34)
    with RunFolder(folder).held():
        with pytest.raises(ConfigError, match=r"run: another process is training in this folder: wait for it"):
            start(folder, checkpoint_every=0.34)
        with pytest.raises(ConfigError, match="another process is training in this folder"):
            list(waiting.run())
    with RunFolder(folder).held():
        pass


def test_a_run_that_began_meanwhile_is_not_mixed_with(start, tmp_path):
    first, second = (start(tmp_path, max_steps=1, learning_rate=rate) for rate in (1e-3,) * 2)
    first.setup.folder.write({"status": "running", **first.setup.facts, "recipe": {"learning_rate": 1}})
    with pytest.raises(ConfigError, match="holds a run with another recipe: learning_rate is 1, not 0.001"):
        list(second.run())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"recipe": []}', b"[" * 100_000, b"\x00" * 100])
def test_a_garbled_record_is_named(tmp_path, content):
    (tmp_path / "finetune.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"finetune.json: cannot be read: .*; choose a new folder") as caught:
        RunFolder(tmp_path).facts()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]\n", b"{}\n", b'{"step": "a"}\n', b"[" * 100_000])
def test_a_garbled_log_is_named(tmp_path, content):
    folder = RunFolder(tmp_path)
    (tmp_path / "training_log.jsonl").write_bytes(content)
    with pytest.raises(ResultError, match=r"training_log.jsonl: cannot be read: .*; remove it"):
        folder.read_log()


def test_a_recipe_of_before_there_was_a_field_says_what_was_done_then(start, trained, tmp_path):
    folder = copied(trained, tmp_path)
    facts = json.loads((folder / "finetune.json").read_text())
    for name in ("ema", "mix", "same_image"):
        del facts["recipe"][name]
    (folder / "finetune.json").write_text(json.dumps(facts))
    for same in ({}, {"same_image": "mask"}, {"same_image": "keep"}):
        start(folder, checkpoint_every=0.34, **same)
    for name, value in (("ema", 0.9), ("mix", {"general": 0.5})):
        with pytest.raises(ConfigError, match=f"another recipe: {name} is (None|{{}}), not"):
            start(folder, checkpoint_every=0.34, **{name: value})


def empty(checkpoint):
    (checkpoint / "training_state.safetensors").write_bytes(b"")


def cut(checkpoint):
    state = checkpoint / "training_state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])


def no_facts(checkpoint):
    (checkpoint / "training.json").write_text('{"step": 2}')


def garbled_facts(checkpoint):
    (checkpoint / "training.json").write_text("[" * 100_000)


def other_shape(checkpoint):
    state, facts = checkpoint / "training_state.safetensors", checkpoint / "training.json"
    tensors = load_file(state)
    last = sorted(name for name in tensors if name.startswith("weight/"))[-1]
    save_file({**tensors, last: torch.zeros(3, 5, 7)}, state)
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "state_sha256": sha256_of(state)}))


@pytest.mark.parametrize("damage", [empty, cut, no_facts, garbled_facts, other_shape])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(start, trained, tmp_path, damage):
    folder = copied(trained, tmp_path)
    newest = checkpoints_in(folder)[-1]
    damage(newest)
    run = start(folder, checkpoint_every=0.34)
    state = run._resume()
    assert state.step == 1
    assert run.notes[-1] == "resuming from step 1 of 3"
    assert f"{newest.name}" in run.notes[-2]
    assert run.notes[-2].endswith("trying the previous checkpoint")


def test_a_run_begun_when_captions_of_one_image_were_negatives_goes_on_like_that(start, tmp_path):
    run = start(tmp_path, same_image="keep", max_steps=1)
    list(run.run())
    facts = json.loads((tmp_path / "finetune.json").read_text())
    for field in ("same_image", "loss_args", "captions_per_image"):
        del facts["recipe"][field]
    (tmp_path / "finetune.json").write_text(json.dumps(facts))
    again = start(tmp_path, max_steps=1)
    assert again.setup.recipe.same_image == "keep"
    assert [note for note in again.notes if "goes on as it began: same_image keep" in note]
    with pytest.raises(ConfigError, match="captions_per_image is all, not one"):
        start(tmp_path, max_steps=1, captions_per_image="one")
