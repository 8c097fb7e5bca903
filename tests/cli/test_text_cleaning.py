"""``--text_cleaning`` on every command that loads a model."""

from __future__ import annotations

import importlib

import click
import pytest

from clipbench.results import read_results
from tests.toy import write_toy

COMMANDS = ("eval", "finetune", "interpolate", "embed")


def evaluated(run, folder, *flags):
    code, _, err = run("eval", "-M", "demo", "-t", write_toy(folder / "toy"), "-o", folder / "out", *flags)
    assert code == 0, err
    (file,) = (folder / "out").rglob("results_*.json")
    return read_results(file)


@pytest.mark.parametrize(
    ("flags", "cleaning"),
    [
        ((), "lower"),
        (("--text_cleaning", "trained"), "lower"),
        (("--text_cleaning", "native"), "native"),
        (("--model_args", "text_cleaning=native"), "native"),
        (("--model_args", '{"text_cleaning": "native"}', "--text_cleaning", "native"), "native"),
    ],
)
def test_the_result_says_which_cleaning_ran(run, tmp_path, flags, cleaning):
    assert evaluated(run, tmp_path, *flags).model_info["text_cleaning"] == cleaning


def test_the_cleaning_is_part_of_the_models_identity(run, tmp_path):
    results = [evaluated(run, tmp_path / name, "--text_cleaning", name) for name in ("trained", "native")]
    assert results[0].model_fingerprint != results[1].model_fingerprint


def test_two_answers_are_refused(run, tmp_path):
    flags = ("--model_args", "text_cleaning=trained", "--text_cleaning", "native")
    code, _, err = run("eval", "-M", "demo", "-t", write_toy(tmp_path), *flags)
    assert code == 2
    assert "--text_cleaning native: --model_args says trained" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_loads_a_model_has_it(name):
    command = importlib.import_module(f"clipbench.cli.{name}").command
    (option,) = (option for option in command.params if option.name == "text_cleaning")
    assert isinstance(option.type, click.Choice)


def test_a_model_that_only_looks_up_has_none(run, tmp_path):
    """A result, such as a plug-in's, need not say it."""
    file = write_toy(tmp_path)
    assert run("embed", "-M", "demo", "-t", file, "-o", tmp_path / "e.npz", "--text_cleaning", "native")[0] == 0
    code, _, err = run("eval", "-M", f"embeddings:{tmp_path / 'e.npz'}", "-t", file, "--text_cleaning", "native")
    assert code == 2, err
    assert "text_cleaning" in err
