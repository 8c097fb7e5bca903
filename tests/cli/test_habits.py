"""People who come from other tools: what they type works, or is answered in one sentence."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from clipbench.cli import cli
from clipbench.cli.command import Command
from clipbench.cli.foreign_flags import FLAGS, explain_flag

HABITS = yaml.safe_load((Path(__file__).parent / "habits.yaml").read_text())
LINES = [pytest.param(one, id=f"{tool}: {one['line']}") for tool, habit in HABITS.items() for one in habit["lines"]]


@pytest.fixture
def read(monkeypatch, run):
    """How a command line is read: its subcommand and what that is called with."""

    def call(line):
        seen = []
        with monkeypatch.context() as patch:
            patch.setattr(Command, "invoke", lambda self, context: seen.append((self.name, context.params)))
            assert run(*shlex.split(line)) == (0, "", "")
        return seen

    return call


@pytest.mark.parametrize("habit", LINES)
def test_what_people_type(habit, run, read):
    if "same_as" in habit:
        assert read(habit["line"]) == read(habit["same_as"])
    else:
        assert run(*shlex.split(habit["line"])) == (2, "", f"clipbench: error: {habit['says']}\n")


def flags_of(name):
    return {flag for option in cli.get_command(None, name).params for flag in option.opts}


@pytest.mark.parametrize("tool", HABITS)
def test_every_flag_of_the_tool_is_one_here_or_is_answered(tool):
    own = flags_of(HABITS[tool]["command"])
    for flag in HABITS[tool]["flags"].split():
        name = flag[:2] + flag[2:].replace("-", "_")
        assert name in own or name.lstrip("-") in FLAGS, flag


def test_every_answer_is_to_a_flag_of_a_tool():
    flags = {flag.lstrip("-").replace("-", "_") for habit in HABITS.values() for flag in habit["flags"].split()}
    assert FLAGS.keys() <= flags


@pytest.mark.parametrize("answer", sorted(set(FLAGS.values())))
def test_answers_name_what_there_is(answer):
    assert len(answer) < 120
    names = cli.list_commands(None)
    assert set(re.findall(r"`clipbench (\w+)", answer)) <= set(names)
    known = {flag for name in names for flag in flags_of(name)} | {"--help", "--nproc_per_node"}
    assert set(re.findall(r"--\w+", answer)) <= known


def test_a_value_that_is_not_given_is_not_made_up():
    assert explain_flag("--pretrained", ["--pretrained"]) == "--pretrained: write --model open_clip:ARCH/VALUE"
    assert explain_flag("--wd", ["--wd", "--model", "x"]) == "--wd: write --weight_decay VALUE"
    assert explain_flag("--nothing", []) is None


def test_a_config_file_of_another_tool(run, tmp_path):
    (tmp_path / "run.yaml").write_text("model: demo\ntasks: scenes\nnum_fewshot: 5\n")
    code, _, err = run("eval", "-C", tmp_path / "run.yaml")
    assert code == 2
    assert err.endswith(
        "run.yaml: num_fewshot: every task is zero-shot: there are no examples, and no probe is trained\n"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--many", "a", "b"], ["a", "b"]),
        (["--many", "a", "--one", "x", "b"], ["a", "b"]),
        (["b", "--many", "a"], ["b", "a"]),
        (["--many=a", "b"], ["a", "b"]),
        (["-m", "a", "b", "--many", "c"], ["a", "b", "c"]),
        (["--flag", "b"], ["b"]),
    ],
)
def test_words_without_an_option_of_their_own(arguments, expected):
    command = Command(
        "x",
        words_are="--many",
        params=[
            click.Option(["--many", "-m"], multiple=True),
            click.Option(["--one"]),
            click.Option(["--flag"], is_flag=True),
        ],
    )
    assert list(command.make_context("x", arguments).params["many"]) == expected


def test_words_that_belong_to_no_option_are_refused():
    command = Command("x", params=[click.Option(["--many"], multiple=True), click.Option(["--one"])])
    for arguments in (["a"], ["--one", "a", "b"], ["--many", "a", "--", "b"]):
        with pytest.raises(click.UsageError, match="unexpected extra argument"):
            command.make_context("x", arguments)
