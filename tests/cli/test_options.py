"""Values of options and of --config files: used, or refused in one line before torch is imported."""

import json
import subprocess
import sys

import pytest

from clipbench.cli import cli
from clipbench.cli.values import parse_model_args
from clipbench.errors import ConfigError
from tests.cli.test_command import PARENT

EVAL = ["eval", "--model", "demo", "--tasks", "scenes_color"]
FINETUNE = ["finetune", "--model", "demo", "--train_data", "scenes=100", "--concept", "color", "-o", "OUT"]
INTERPOLATE = ["interpolate", "demo", "demo", "--tasks", "scenes_color", "-o", "OUT"]
REPRODUCE = ["reproduce", "scenes", "-o", "OUT"]
EXPORT = ["scenes", "export", "OUT"]
DIGITS = "9" * 5000
ABSURD = [
    *([*EVAL, *more] for more in (
        ["--seed", "-1"], ["--seed", "1e3"], ["--seed", str(2**32)], ["--batch_size", "1000000000000"],
        ["--batch_size", DIGITS], ["--batch_size", "nan"], ["--batch_size", "-1"], ["--limit", "0"], ["--limit", "-1"],
        ["--limit", DIGITS], ["--limit", "1" + "0" * 400], ["--limit", "1.0"], ["--limit", "10%"], ["--limit", "nan"],
        ["--num_workers", "1000000"], ["--num_workers", "0"],
        ["--device", "gpu"], ["--device", "cuda:x"], ["--dtype", "int8"], ["--model_args", "{"], ["--model_args", "a"],
        ["--model_args", '{"a": 1, "a": 2}'], ["--model_args", "[" * 5000], ["--model_args", "{" * 5000],
    )),
    *([*FINETUNE, *more] for more in (
        ["--checkpoint_every", "1e-9"], ["--checkpoint_every", "0"], ["--checkpoint_every", "nan"],
        ["--checkpoint_every", "inf"], ["--checkpoint_every", "1e300"], ["--batch_size", "1000000000000"],
        ["--batch_size", "1"], ["--epochs", "1000000000000000000"], ["--epochs", "1e18"], ["--max_steps", str(10**18)],
        ["--learning_rate", "nan"], ["--learning_rate", "1e300"], ["--learning_rate", "-1"], ["--weight_decay", "inf"],
        ["--max_grad_norm", "0"], ["--max_grad_norm", "-1"], ["--lora_rank", "1000000000"], ["--lora_alpha", "nan"],
        ["--negatives", "1000000"], ["--negatives", "9"], ["--warmup_steps", str(10**12)], ["--seed", "-1"],
        ["--seed", str(2**63)], ["--num_workers", "1000000"], ["--micro_batch_size", str(10**12)],
        ["--keep", str(10**30)], ["--limit", str(10**30)], ["--eval_limit", str(10**30)], ["--loss", "triplet"],
        ["--eval_tasks", "scenes_colour"], ["--device", "tpu"], ["--freeze", "vision"],
    )),
    *([*INTERPOLATE, *more] for more in (
        ["--alpha", "0,1e-9,…,1"], ["--alpha", "0,1e-999999,…,1"], ["--alpha", "nan"], ["--alpha", "1e999999"],
        ["--alpha", "2"], ["--alpha", "-1"], ["--alpha", "…"], ["--alpha", DIGITS], ["--save", "2"],
        ["--alpha", ",".join(f"0.{n}" for n in range(5000))],
    )),
    *([*REPRODUCE, *more] for more in (["--jobs", "1000000"], ["--num_workers", "1000000"], ["--only", "nothing"])),
    *([*EXPORT, *more] for more in (
        ["--size", str(10**18)], ["--pairs", str(10**18)], ["--seed", str(10**30)], ["--size", "0"],
    )),
    ["show", "OUT", "-t", "x", "--limit", "-1"],
]  # fmt: skip


def test_absurd_values_are_refused_in_one_line_without_torch(tmp_path):
    """All in one process, which torch must not enter."""
    script = """
import json, sys
from clipbench.cli import main
for arguments in json.loads(sys.stdin.read()):
    try:
        main(arguments)
    except SystemExit as done:
        heavy = sorted({"torch", "transformers"} & sys.modules.keys())
        print(json.dumps([done.code, arguments[:1] + arguments[-2:], heavy]))
        print("=====", file=sys.stderr, flush=True)
"""
    place = [[str(tmp_path / "out") if part == "OUT" else part for part in arguments] for arguments in ABSURD]
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(place), capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    said = done.stderr.split("=====\n")[:-1]
    codes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(codes) == len(said) == len(ABSURD), done.stderr[-2000:]
    for (code, arguments, heavy), text in zip(codes, said, strict=True):
        shown = [part[:60] for part in arguments]
        assert (code, text.count("\n"), heavy) == (2, 1, []), (shown, text[:500])
        assert text.startswith("clipbench: error: "), shown
        assert len(text) < 2000, shown
    assert not (tmp_path / "out").exists()


def context(tmp_path, text, command="eval", *more):
    (tmp_path / "run.yaml").write_text(text)
    given = {"eval": ["-M", "x", "-t", "y"], "finetune": FINETUNE[1:], "interpolate": INTERPOLATE[1:]}[command]
    return cli.get_command(None, command).make_context(
        command, [*given, "-C", str(tmp_path / "run.yaml"), *more], parent=PARENT
    )


@pytest.mark.parametrize(
    ("text", "command", "expected"),
    [
        ("limit: null\nbatch_size: ~\n", "eval", {"limit": None, "batch_size": "auto"}),
        ("limit: 7\nallow-missing: true\n", "eval", {"limit": 7, "allow_missing": True}),
        ("limit: 0.1\n", "eval", {"limit": 0.1}),
        ("data: {coco: FOLDER, a: b}\n", "eval", {"data": ("coco=FOLDER", "a=b")}),
        ("data: [coco=FOLDER]\ninclude_path: x.py\n", "eval", {"data": ("coco=FOLDER",)}),
        ("use_cache: true\n", "eval", {"use_cache": "True"}),
        ("model_args: {revision: main, n: 3}\n", "eval", {"model_args": '{"revision": "main", "n": 3}'}),
        ("freeze: [image]\nlr: 1e-3\nepochs: 2\n", "finetune", {"freeze": ("image",), "learning_rate": 0.001}),
        ("alpha: [0, 0.5, 1]\n", "interpolate", {"alphas": "0,0.5,1"}),
    ],
)
def test_a_config_file_gives_what_the_flags_would(tmp_path, text, command, expected):
    params = context(tmp_path, text, command).params
    assert {name: params[name] for name in expected} == expected


def test_flags_take_precedence_over_a_config_file(tmp_path):
    assert context(tmp_path, "limit: 7\n", "eval", "--limit", "3").params["limit"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limit: true\n", "limit: give text or a number, not true or false"),
        ("limit: 1.5\n", "limit: '1.5' is neither a whole number of samples nor a share"),
        ("limit: [1]\n", "limit: give one value, not a list"),
        ("limit: {a: 1}\n", "limit: give one value, not a mapping"),
        ("limit: 2024-02-30\n", "limit: '2024-02-30' is neither a whole number"),
        ("limit: 0\n", "limit: '0' is neither a whole number"),
        ("limit: " + DIGITS, "number"),
        ("allow_missing: 1\n", "allow_missing: write true or false, not 1"),
        ("allow_missing: maybe\n", "allow_missing: write true or false, not 'maybe'"),
        ("data: {coco: null}\n", "data: give text or a number, not None"),
        ("data: {coco: [1]}\n", r"data: give text or a number, not \[1\]"),
        ("limt: 3\n", r"unknown flag 'limt' \(did you mean limit\?\)"),
        ("config: other.yaml\n", "unknown flag 'config'"),
        ("limit: 3\nL: 4\n", "L: this flag is given twice, under two names"),
        ("limit: 3\nlimit: 4\n", "run.yaml:2: key 'limit' comes twice"),
        ("1: 2\n", "unknown flag 1"),
        ("- limit\n", "run.yaml:1: expected a mapping of flags to values"),
        ("format: xml\n", "format: 'xml' is not one of"),
        ("a: [" + "[" * 3000, "run.yaml:1: nested"),
    ],
)
def test_a_config_file_with_a_value_that_a_flag_does_not_take(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        context(tmp_path, text)
    assert "run.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "{" * 5000, '{"a": ' * 2000, "{1: 2}", '{"a": 1}x'])
def test_model_args_that_are_no_json(text):
    with pytest.raises(ConfigError, match="not JSON"):
        parse_model_args(text)
