"""Malformed checkpoints, results, sample logs and caches."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cases import DAMAGES, ODD_VALUES, Case, damage, put, set_inside
from workspace import EVAL, FINETUNE

_HF = ("eval", "--model", "tiny-hf", "--tasks", "toy.yaml", "--device", "cpu", "-o", "out")
_OPEN_CLIP = ("eval", "--model", "tiny-open_clip", "--tasks", "toy.yaml", "--device", "cpu", "-o", "out")
_HF_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
_READERS = (
    ("leaderboard", "results", "-o", "new.json"),
    ("leaderboard", "results", "-o", "board.json"),
    ("show", "results/demo", "--tasks", "toy", "--include_path", "toy.yaml", "-o", "sheet.html"),
    ("compare", "results/demo", "results/tiny-hf"),
    ("rescore", "results/demo", "--include_path", "toy.yaml"),
    ("leaderboard", "results", "board.json", "--format", "html"),
)


def checkpoints(draw: random.Random) -> Iterator[Case]:
    """Checkpoints that are damaged, that lie about themselves, or that come wrapped."""
    for file in _HF_FILES:
        for how in DAMAGES:
            # A flipped bit of a weight is a weight: no checksum is kept beside a checkpoint.
            yield Case(
                "checkpoint", f"{file} damaged: {how}", _HF, partial(_damage, f"tiny-hf/{file}", how, draw.random())
            )
        yield Case("checkpoint", f"no {file}", _HF, partial(_remove, f"tiny-hf/{file}"))
    for file in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        for value in ODD_VALUES:
            seed = draw.random()
            yield Case(
                "checkpoint", f"{file}: {str(value)[:20]!r} inside", _HF, partial(_odd, f"tiny-hf/{file}", value, seed)
            )
    yield Case("checkpoint", "100,000 layers", _HF, _layers, "refused")
    for name in ("model_state_dict", "module.", "_orig_mod.", "model", "args", "plain"):
        yield Case("checkpoint", f"wrapped: {name}", _OPEN_CLIP, partial(_wrap, name), "same")
    yield Case("checkpoint", "runs code", _OPEN_CLIP, _malicious, "refused", check=_was_not_run)
    yield Case("checkpoint", "NaN weights", _OPEN_CLIP, partial(_wrap, "nan"), "refused")
    yield Case("checkpoint", "a weight is missing", _OPEN_CLIP, partial(_wrap, "missing"), "refused")
    yield Case("checkpoint", "a weight of another shape", _OPEN_CLIP, partial(_wrap, "shape"), "refused")


def results(draw: random.Random) -> Iterator[Case]:
    """Result files and sample logs with odd values and damaged bytes; the other model's must still be read."""
    for words in _READERS:
        check = (
            partial(_good_one_is_there, words[words.index("-o") + 1])
            if "-o" in words and words[0] == "leaderboard"
            else _nothing
        )
        for value in ODD_VALUES:
            seed = draw.random()
            yield Case("result", f"{str(value)[:20]!r} inside", words, partial(_odd_result, value, seed), check=check)
            yield Case(
                "result", f"{str(value)[:20]!r} in a sample", words, partial(_odd_sample, value, seed), check=check
            )
        for how in DAMAGES:
            seed = draw.random()
            yield Case(
                "result", f"damaged: {how}", words, partial(_damage_found, "results_*.json", how, seed), check=check
            )
            yield Case(
                "result",
                f"samples damaged: {how}",
                words,
                partial(_damage_found, "samples_*.jsonl", how, seed),
                check=check,
            )
            if "board.json" in words:
                yield Case("result", f"board damaged: {how}", words, partial(_damage, "board.json", how, seed))


def caches(draw: random.Random) -> Iterator[Case]:
    """Damaged embeddings, decoded images, unfinished trainings: made again, or refused; never used."""
    cached = (*EVAL, "-o", "out", "--use_cache", "cache")
    train = (*FINETUNE, "-o", "out")
    for how in DAMAGES:
        for _ in range(4):
            yield Case("cache", f"embeddings {how}", cached, partial(_damage_any, "cache", how, draw.random()), "same")
            yield Case("cache", f"pixels {how}", train, partial(_damage_any, "pixels", how, draw.random()), "same")
        yield Case(
            "cache",
            f"verify {how}",
            ("cache", "verify", "--cache_dir", "cache"),
            partial(_damage_any, "cache", how, draw.random()),
        )
        yield Case("cache", f"run {how}", (*FINETUNE, "-o", "run"), partial(_damage_any, "run", how, draw.random()))


def _nothing(folder: Path) -> None:
    return None


def _damage(place: str, how: str, seed: float, folder: Path) -> None:
    put(folder / place, damage((folder / place).read_bytes(), how, random.Random(seed)))


def _damage_found(pattern: str, how: str, seed: float, folder: Path) -> None:
    _damage(str(next((folder / "results/demo").glob(pattern)).relative_to(folder)), how, seed, folder)


def _damage_any(place: str, how: str, seed: float, folder: Path) -> None:
    files = sorted(path for path in (folder / place).rglob("*") if path.is_file())
    chosen = random.Random(seed).choice(files)
    _damage(str(chosen.relative_to(folder)), how, seed, folder)


def _remove(place: str, folder: Path) -> None:
    (folder / place).unlink()


def _odd(place: str, value: object, seed: float, folder: Path) -> None:
    data = json.loads((folder / place).read_text())
    set_inside(data, value, random.Random(seed))
    put(folder / place, json.dumps(data))


def _odd_result(value: object, seed: float, folder: Path) -> None:
    _odd(str(next((folder / "results/demo").glob("results_*.json")).relative_to(folder)), value, seed, folder)


def _odd_sample(value: object, seed: float, folder: Path) -> None:
    path = next((folder / "results/demo").glob("samples_*.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    set_inside(lines, value, random.Random(seed))
    put(path, "".join(json.dumps(line) + "\n" for line in lines))


def _good_one_is_there(board: str, folder: Path) -> str | None:
    """Whether the board holds the sound model."""
    path = folder / board
    return None if path.exists() and "tiny-hf" in path.read_text() else "lost result"


def _layers(folder: Path) -> None:
    path = folder / "tiny-hf/config.json"
    data = json.loads(path.read_text())
    data["text_config"]["num_hidden_layers"] = 100_000
    put(path, json.dumps(data))


def _wrap(how: str, folder: Path) -> None:
    import argparse

    import torch

    weights = dict(torch.load(folder / "tiny.pt")["state_dict"])
    first = "visual.proj"
    if how in ("module.", "_orig_mod."):
        wrapped: object = {how + name: value for name, value in weights.items()}
    elif how == "args":
        wrapped = {"args": argparse.Namespace(lr=1e-5), "state_dict": weights}
    elif how == "nan":
        wrapped = {**weights, first: weights[first] * float("nan")}
    elif how == "missing":
        wrapped = {name: value for name, value in weights.items() if name != first}
    elif how == "shape":
        wrapped = {**weights, first: weights[first][:-1]}
    else:
        wrapped = weights if how == "plain" else {how: weights}
    _place(folder, wrapped)


def _place(folder: Path, content: object) -> None:
    import torch

    for path in (folder / "tiny-open_clip").glob("open_clip_*model*"):
        path.unlink()
    torch.save(content, folder / "tiny-open_clip/open_clip_pytorch_model.bin")


class _Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("was-run", "w"))


def _malicious(folder: Path) -> None:
    _place(folder, {"state_dict": _Malicious()})


def _was_not_run(folder: Path) -> str | None:
    return "ran code" if (folder / "was-run").exists() else None
