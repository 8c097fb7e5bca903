"""Malformed YAML, options and environments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cases import DAMAGES, ODD_SCALARS, Case, damage, put
from workspace import EVAL, FINETUNE

_VALIDATE = ("validate", "--tasks", "toy.yaml", "--format", "json")
_FILES = {
    "toy.yaml": ((*EVAL, "-o", "out"), _VALIDATE, ("ls", "tasks", "--include_path", "toy.yaml")),
    "animals.yaml": (
        ("negatives", "-c", "animals.yaml", "captions.txt"),
        (*FINETUNE, "-o", "out", "--concept", "animals.yaml"),
    ),
    "flags.yaml": (("eval", "-C", "flags.yaml", "-o", "out"), ("validate", "-t", "toy.yaml", "-C", "flags.yaml")),
    "small.yaml": (("reproduce", "small.yaml", "-o", "out", "--dry_run"),),
}
_TASK_KEYS = ("name", "task_type", "concept", "version", "expected_n", "groups", "tags", "where", "license", "dataset")
_KEYS = {
    "toy.yaml": (*_TASK_KEYS, "dataset.path", "dataset.images", "dataset.captions", "dataset.hub", "dataset.split"),
    "animals.yaml": ("name", "mutual", "replacements", "replacement_only", "match"),
    "flags.yaml": ("tasks", "model", "limit", "batch_size", "seed", "data", "num_workers", "model_args", "use_cache"),
    "small.yaml": ("name", "title", "base_models", "training", "limit", "tables", "figure", "quick", "speed"),
}
_ODD_WORDS = (
    "",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "99999999999999999999",
    "1e-9",
    "1e18",
    "true",
    "null",
    ",",
    "a" * 300,
    "\x1b[31mred",
    "../..",
    "/dev/zero",
    "/dev/full",
    "/proc/self/mem",
    "nowhere/at/all",
    "é\ud800",
    "a=b",
    "{}",
    "[1",
    "*",
    "\n",
)
_COMMANDS: dict[str, tuple[str, ...]] = {
    "eval": (*EVAL, "-o", "out"),
    "validate": _VALIDATE,
    "finetune": (*FINETUNE, "-o", "out", "--max_steps", "2"),
    "interpolate": (
        "interpolate",
        "demo",
        "run",
        "--tasks",
        "toy.yaml",
        "-o",
        "out",
        "--alpha",
        "0,1",
        "--device",
        "cpu",
    ),
    "leaderboard": ("leaderboard", "results"),
    "show": ("show", "results/demo", "--tasks", "toy", "-o", "sheet.png", "--include_path", "toy.yaml"),
    "compare": ("compare", "results/demo", "results/tiny-hf"),
    "rescore": ("rescore", "results/demo"),
    "negatives": ("negatives", "-c", "color", "captions.txt"),
    "tradeoff": ("tradeoff", "run", "-o", "drawn"),
    "reproduce": ("reproduce", "small.yaml", "-o", "out", "--dry_run"),
    "push": ("push", "results/demo", "--dataset_repo", "someone/something", "--dry_run"),
    "ls": ("ls", "tasks"),
}


def yaml(draw: random.Random) -> Iterator[Case]:
    """YAML files with odd scalars, keys of another kind, and damaged bytes."""
    for file, commands in _FILES.items():
        for words in commands:
            for key in _KEYS[file]:
                for scalar in draw.sample(ODD_SCALARS, 8):
                    yield Case("yaml", f"{file}: {key}: {scalar[:20]}", words, partial(_set, file, key, scalar))
                yield Case("yaml", f"{file}: {key} twice", words, partial(_twice, file, key), "refused")
            for how in DAMAGES:
                seed = draw.random()
                yield Case("yaml", f"{file} damaged: {how}", words, partial(_damage, file, how, seed))
            for name, content in (
                ("no mapping", "- a\n- b\n"),
                ("a tab", "\tname: x\n"),
                ("two documents", "a: 1\n---\nb: 2\n"),
                ("brackets", "[" * 3000),
                (
                    "aliases",
                    "a: &a [x,x,x,x,x,x,x,x,x]\n"
                    + "".join(
                        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n"
                        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
                    ),
                ),
            ):
                yield Case(
                    "yaml", f"{file}: {name}", words, lambda folder, f=file, c=content: put(folder / f, c), "refused"
                )


def options(draw: random.Random) -> Iterator[Case]:
    """Every option of every command with odd values."""
    import importlib

    import click

    for name, words in _COMMANDS.items():
        command = importlib.import_module(f"clipbench.cli.{name}").command
        for option in (part for part in command.params if isinstance(part, click.Option) and not part.is_flag):
            flag = max(option.opts, key=len)
            rest = _without(words, option.opts)
            for value in draw.sample(_ODD_WORDS, 6):
                if "/dev/zero" in value and flag in ("--output_path", "--image_cache", "--use_cache"):
                    continue
                yield Case("option", f"{name} {flag} {value[:20]!r}", (*rest, flag, value))
            if not option.multiple and flag in words:
                yield Case("option", f"{name} {flag} twice", (*words, flag, "x"), expect="refused")


def environments(draw: random.Random) -> Iterator[Case]:
    """Environment variables that say nonsense."""
    words = (*EVAL, "-o", "out")
    for env in (
        {"WORLD_SIZE": "abc"},
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "7"},
        {"RANK": "-1", "WORLD_SIZE": "1"},
        {"LOCAL_RANK": "x"},
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "abc", "MASTER_ADDR": "127.0.0.1"},
        {"HOME": None},
        {"HOME": "/nonexistent"},
        {"TMPDIR": "/nonexistent"},
        {"HF_HOME": "/dev/null"},
        {"CLIPBENCH_CACHE": "/dev/null"},
        {"LANG": "C", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "0"},
        {"COLUMNS": "abc"},
        {"COLUMNS": "1"},
        {"TERM": "nonsense"},
        {"OMP_NUM_THREADS": "0"},
        {"OMP_NUM_THREADS": "abc"},
        {"HF_ENDPOINT": "nonsense"},
        {"HF_TOKEN": "\x01"},
        {"HF_HUB_OFFLINE": "maybe"},
        {"CUDA_VISIBLE_DEVICES": "99"},
        {"PYTHONWARNINGS": "error"},
        {"ACCELERATE_USE_CPU": "maybe"},
        {"FORCE_COLOR": "1"},
        {"HF_ENDPOINT": "http://127.0.0.1:9"},
    ):
        yield Case("environment", str(env), words, env=env)
        yield Case("environment", f"{env}, use_cache", (*words, "--use_cache"), env=env)


def _set(file: str, key: str, scalar: str, folder: Path) -> None:
    import yaml as library

    data = library.safe_load((folder / file).read_text())
    marker = "SPOILED"
    place = data
    *outer, last = key.split(".")
    for part in outer:
        place = place[part]
    place[last] = marker
    text = library.safe_dump(data, sort_keys=False)
    put(folder / file, text.replace(marker, scalar))


def _twice(file: str, key: str, folder: Path) -> None:
    lines = (folder / file).read_text().splitlines(keepends=True)
    last = key.split(".")[-1]
    found = [line for line in lines if line.strip().startswith(f"{last}:") and line.strip() != f"{last}:"]
    again = found[0] if found else f"{last}: x\n{last}: x\n"
    at = lines.index(found[0]) if found else len(lines)
    put(folder / file, "".join([*lines[:at], again, *lines[at:]]))


def _damage(file: str, how: str, seed: float, folder: Path) -> None:
    put(folder / file, damage((folder / file).read_bytes(), how, random.Random(seed)))


def _without(words: tuple[str, ...], flags: list[str]) -> tuple[str, ...]:
    """The command without an option and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in flags:
            skip = True
        else:
            kept.append(word)
    return tuple(kept)
