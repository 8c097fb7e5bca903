"""What a shell completes, with the words as bash cuts them."""

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import get_completion_class

from clipbench.cli import cli
from clipbench.cli.completion import _open_clip_weights
from tests.toy import write_toy


@pytest.fixture
def complete(monkeypatch):
    """The completions of a line's last word, as bash puts them in its place."""

    def call(*words):
        monkeypatch.setenv("COMP_WORDS", "\n".join(["clipbench", *map(str, words)]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        done = get_completion_class("bash")(cli, {}, "clipbench", "_CLIPBENCH_COMPLETE").complete()
        return [line.removeprefix("plain,") for line in done.splitlines()]

    return call


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ev"], ["eval"]),
        (["eval", "--tasks", "winog"], ["winoground"]),
        (["eval", "--tasks", "winoground,scenes_col"], ["winoground,scenes_color"]),
        (["eval", "--tasks", "winoground,winog"], ["file,winoground,winog"]),
        (["eval", "--tasks", "=", "winog"], ["winoground"]),
        (["eval", "-t", "./my"], ["file,./my"]),
        (["--model", "demo", "--tasks", "winog"], ["winoground"]),
        (["validate", "--tasks", "scenes_loc"], ["scenes_location"]),
        (["eval", "--model", "open"], ["open_clip:"]),
        (["eval", "--model", "open_clip", ":", "RN50x64"], ["RN50x64/openai"]),
        (["eval", "--model", "open_clip", ":", "nllb-clip-base/"], ["nllb-clip-base/v1"]),
        (["eval", "--model", "out/fold"], ["file,out/fold"]),
        (["eval", "--data", "coco_k"], ["coco_karpathy="]),
        (["eval", "--data", "coco", "="], ["file,"]),
        (["eval", "--data", "coco", "=", "/data/co"], ["file,/data/co"]),
        (["finetune", "--train_data", "sb"], ["sbu"]),
        (["finetune", "--concept", "color,loc"], ["color,location"]),
        (["negatives", "--concept", "obj"], ["object"]),
        (["interpolate", "dem"], ["demo"]),
        (["ls", "stud"], ["studies"]),
        (["eval", "--model", "demo", "--tasks", "scenes", "--eval_nothing", "x", "--log_s"], ["--log_samples"]),
    ],
)
def test_completions(complete, words, expected):
    assert complete(*words) == expected


def test_tasks_of_ones_own(complete, tmp_path):
    file = write_toy(tmp_path)
    assert complete("eval", "--include_path", file, "--tasks", "toy_") == ["toy_color"]
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    assert complete("eval", "--include_path", broken, "--tasks", "toy_") == ["file,toy_"]


def test_models_in_the_hubs_cache(complete, tmp_path, monkeypatch):
    for name in ("models--openai--clip-vit-base-patch32", "models--gpt2", "datasets--openai--x"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert complete("eval", "--model", "openai/") == ["openai/clip-vit-base-patch32"]
    assert complete("eval", "--model", "gp") == ["gpt2"]


def test_weights_are_those_that_open_clip_lists():
    import open_clip

    found = set(_open_clip_weights())
    assert len(found) > 100
    assert found <= {"/".join(pair) for pair in open_clip.list_pretrained()}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_in_bash(tmp_path):
    program = tmp_path / "clipbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m clipbench "$@"\n')
    program.chmod(0o755)
    script = """
eval "$(_CLIPBENCH_COMPLETE=bash_source clipbench)"
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _clipbench_completion clipbench
    echo "${COMPREPLY[@]}"
}
complete_words clipbench eval --tasks winogr
complete_words clipbench eval --model open_clip : RN50x64
complete -p clipbench
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "winoground", "RN50x64/openai", "complete -o nosort -F _clipbench_completion clipbench",
    ], done.stderr  # fmt: skip


def test_completion_does_not_import_torch():
    script = """
import sys
from clipbench.cli import main
try:
    main([])
except SystemExit:
    pass
print(sorted({"torch", "transformers", "open_clip"} & sys.modules.keys()))
"""
    for words in ("eval\n--model\nopen_clip\n:\nRN50x64", "eval\n--tasks\nwinogr", "finetune\n--train_data\nsb"):
        environment = {**os.environ, "COMP_WORDS": f"clipbench\n{words}", "_CLIPBENCH_COMPLETE": "bash_complete",
                       "COMP_CWORD": str(words.count("\n") + 1)}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("\n[]\n")
        assert done.stdout.startswith("plain,")
