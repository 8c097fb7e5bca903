"""What all subcommands have in common."""

import ast
import json
import re
from pathlib import Path

import click
import pytest

import clipbench
from clipbench.cli import cli
from clipbench.cli.command import Command, name_flags
from clipbench.cli.console import printable
from clipbench.errors import ConfigError
from clipbench.evaluation.options import EvaluationOptions

PACKAGE = Path(clipbench.__file__).parent
PARENT = cli.make_context("clipbench", ["ls"])  # a command remembers the help flags of its first context


def commands():
    for name in cli.list_commands(None):
        command = cli.get_command(None, name)
        for part in getattr(command, "commands", {name: command}).values():
            yield pytest.param(part, id=f"{name} {part.name}")


@pytest.mark.parametrize("command", commands())
def test_a_repeated_option_is_collected_or_refused(command):
    """Click itself takes the last one without a word."""
    assert isinstance(command, Command)
    for option in (param for param in command.params if isinstance(param, click.Option)):
        if option.multiple or option.is_eager:
            continue
        flag = max(option.opts, key=len)
        arguments = [flag, flag] if option.is_flag else [flag, "1", flag, "2"]
        with pytest.raises(ConfigError, match=f"^{flag} is given 2 times: give it once"):
            command.make_context(command.name, arguments, parent=PARENT)


def test_lists_that_are_given_twice_are_joined():
    command = cli.get_command(None, "eval")
    context = command.make_context("eval", ["-M", "x", "-t", "a,b", "--tasks", "c"], parent=PARENT)
    assert context.params["tasks"] == "a,b,c"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("output_path out: cannot be written", "--output_path out: cannot be written"),
        ("pass allow_missing=True to go on", "pass --allow_missing to go on"),
        ("name it in `data`, the data is gone", "name it in --data, the data is gone"),
        ("out/output_path: a folder", "out/output_path: a folder"),
        ("'output_path' is a file", "'output_path' is a file"),
        ("--output_path out", "--output_path out"),
        ("no such field: my_output_path", "no such field: my_output_path"),
    ],
)
def test_fields_become_flags(message, expected):
    assert name_flags(message, cli.get_command(None, "eval")) == expected


def test_an_error_of_the_library_names_the_flag(run, tmp_path):
    code, _, err = run("eval", "-M", "demo", "-t", "x", "--include_path", tmp_path / "nowhere.py")
    assert (code, err) == (2, f"clipbench: error: --include_path {tmp_path}/nowhere.py: no such file or folder\n")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.relative_to(PACKAGE).parts],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_messages_of_the_library_know_no_flags(path):
    """Who calls it from Python has none."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc:
            texts = [part.value for part in ast.walk(node.exc) if isinstance(part, ast.Constant)]
            text = " ".join(part for part in texts if isinstance(part, str))
            assert not re.search(r"--[a-z]", text), f"{path.name}:{node.lineno}: {text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\x1b[2Jb.png", "a?[2Jb.png"), ("\u202egnp.exe", "?gnp.exe"), ("\ud800", "?"), ("Füße, 猫 – ±", "Füße, 猫 – ±")],
)
def test_what_steers_a_terminal_is_replaced(text, expected):
    assert printable(text) == expected


def test_what_steers_a_terminal_is_escaped_in_json(run, monkeypatch):
    text = 'a\u202e\x7f\x85\ud800\n"'
    monkeypatch.setattr("clipbench.cli.ls._LISTINGS", {"tasks": lambda _: ([text], [[text]])})
    code, out, _ = run("ls", "tasks", "--format", "json")
    assert code == 0
    assert json.loads(out) == [{text: text}]
    assert out.replace("\n", "").isascii()


def test_a_cell_of_markdown_is_no_markup(run, monkeypatch):
    monkeypatch.setattr("clipbench.cli.ls._LISTINGS", {"tasks": lambda _: (["a|b"], [["<b>\\| ![x](y) `z` \x1b\n"]])})
    _, out, _ = run("ls", "tasks", "--format", "markdown")
    head, _, row = out.splitlines()
    assert head.strip("| ") == r"a\|b"
    assert row.strip("| ") == r"&lt;b&gt;\\\| !\[x\](y) \`z\` ?"


def test_a_long_message_is_shortened(run):
    code, _, err = run("eval", "--model", "demo", "--tasks", "x" * 200 + ",y" * 2000)
    assert code == 2
    assert len(err) < 2000


def test_the_help_lists_every_command_once():
    text = cli.get_help(cli.make_context("clipbench", ["ls"]))
    for name in cli.list_commands(None):
        assert len(re.findall(rf"^  {name} ", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("name", ["eval", "interpolate"])
def test_the_command_line_has_the_defaults_of_the_option_class(name, monkeypatch):
    """Python and the command line agree."""
    command = cli.get_command(None, name)
    given = {"eval": ["-M", "demo"], "interpolate": ["a", "b", "-o", "out"]}[name]
    monkeypatch.setattr("clipbench.task_types.registry.select_tasks", lambda tasks, include_path: 1 / 0)
    built = []
    monkeypatch.setattr(EvaluationOptions, "__post_init__", lambda self: built.append(self))
    with pytest.raises(ZeroDivisionError):
        command.invoke(command.make_context(name, [*given, "-t", "t"], parent=PARENT))
    assert built[-1] == EvaluationOptions()
