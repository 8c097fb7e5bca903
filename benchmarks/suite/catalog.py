"""The benchmarks that ``python -m benchmarks all`` runs, in this order: how each is called, and what it needs.

Sizes and rounds are chosen so that all of them take about three quarters of an hour on two cores.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_TRAINERS = ("braceexpand", "open_clip_train", "webdataset")
_HINTS = {
    "clip_benchmark": "pip install clip-benchmark",
    **dict.fromkeys(_TRAINERS, 'pip install "open_clip_torch[training]"'),
}
_ROUNDS = "rounds"


@dataclass(frozen=True)
class Benchmark:
    """A script of this folder with its arguments.

    Attributes:
        name: What it is called on the command line and in the JSON.
        title: What it measures, for the documentation.
        command: Script and arguments but ``--json``; ``{coco}`` stands for the folder of that data, ``{rounds}`` for
            how many rounds.
        rounds: How many, unless ``--rounds`` says so.
        packages: Modules that must be installed beside clipbench: the peers.
        gpu: Whether it needs a GPU.
        tiny: The command that tries it in seconds, on any machine and without data; None if there is none.
    """

    name: str
    title: str
    command: str
    rounds: int = 3
    packages: tuple[str, ...] = ()
    gpu: bool = False
    tiny: str | None = None

    @property
    def script(self) -> str:
        """The script's name, which stands for all its benchmarks on the command line."""
        return self.command.split()[0].removesuffix(".py")

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data that it reads."""
        return tuple(name for name in dict.fromkeys(re.findall(r"\{(\w+)\}", self.command)) if name != _ROUNDS)

    def words(self, data: Mapping[str, str], rounds: int | None = None, *, tiny: bool = False) -> list[str]:
        """The command as a list, with data where it lies."""
        written = self.tiny if tiny and self.tiny else self.command
        # Split first: a folder's name may have spaces.
        return [word.format(**{**data, _ROUNDS: rounds or self.rounds}) for word in written.split()]

    def shown(self, rounds: int | None = None, *, tiny: bool = False) -> str:
        """The command as documentation has it, with names for folders."""
        folders = {name: f"{name.upper()}_FOLDER" for name in self.data}
        return " ".join(["python", f"benchmarks/{self.script}.py", *self.words(folders, rounds, tiny=tiny)[1:]])

    def missing(self, data: Collection[str], *, has_gpu: bool) -> str | None:
        """Why it cannot run here, or None."""
        if self.gpu and not has_gpu:
            return "there is no GPU"
        if lacking := [name for name in self.data if name not in data]:
            return f"no data: --data {' '.join(f'{name}={name.upper()}_FOLDER' for name in lacking)}"
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} not installed: {_HINTS[absent[0]]}" if absent else None


def _engine(part: str, title: str, more: str = "", *, rounds: int = 1, peer: bool = True) -> Benchmark:
    command = f"engine.py --data coco={{coco}} --parts {part} {more} --rounds {{rounds}}"
    return Benchmark(part, title, command, rounds, ("clip_benchmark",) if peer else ())


CATALOG = (
    Benchmark("start", "Import, and the first evaluation anybody runs, from the shell to the table",
              "start.py --rounds {rounds}"),
    Benchmark("commands", "`clipbench --help` and `clipbench ls tasks`", "engine.py --data coco={coco} --parts start"),
    Benchmark("machinery", "The engine without a model: generated samples, 10,000 and a million",
              "machinery.py"),
    Benchmark("many_results", "A million result rows on a board", "many_results.py"),
    Benchmark("validation", "`clipbench validate` over 100,000 images, which are not decoded", "validation.py"),
    _engine("ranking", "Captions of `coco_object` with their 79 variants each, against CLIP_benchmark's image-caption"
            " selection", "--samples 36", rounds=2),
    _engine("retrieval", "`coco_retrieval` on all photographs there are, against CLIP_benchmark's zero-shot retrieval",
            rounds=2),
    _engine("choice", "Each photograph's caption against four shuffles of its words, against CLIP_benchmark's"
            " image-caption selection"),
    _engine("classification", "All photographs, 20 classes with 80 prompts each, against CLIP_benchmark's zero-shot"
            " classification"),
    _engine("tasks", "Five COCO tasks in one run, against one run for each", peer=False),
    _engine("cache", "`coco_retrieval` a second time with `--use_cache`", peer=False),
    Benchmark("embedding_cache", "What filling the cache of embeddings costs, and what a filled one gives",
              "embedding_cache.py {coco} --photographs 100"),
    _engine("dtype", "`--dtype bfloat16` against float32: the share of decisions that turn", peer=False),
    Benchmark("packing", "What padding costs a text tower, and what sharing common beginnings saves it",
              "packing.py --captions {coco}/annotations/captions_val2017.json --limit 6"),
    Benchmark("finetune", "Fine-tuning a ViT-B/32, against open_clip's trainer and transformers' `Trainer`",
              "finetune.py --data coco={coco} --rounds {rounds}", rounds=2, packages=_TRAINERS),
    Benchmark("training_memory", "Memory of a training step: plain, with gradient checkpointing",
              "training_memory.py --size vit-b-32 --batch_size 16 --ways plain,checkpointing"),
    Benchmark("tars", "Training batches from tars, decoded as they are needed, against open_clip's loader",
              "tars.py {coco}/val2017 --samples 5000 --rounds {rounds}", rounds=2, packages=_TRAINERS),
    Benchmark("mining", "`clipbench mine` over a million captions, three negatives each",
              "mining.py {coco} --rounds {rounds}"),
    Benchmark("allocator", "EfficientNet-Lite0 on a CPU, with and without keeping freed memory",
              "allocator.py --rounds {rounds}"),
    Benchmark("gpu_ranking", "100,000 samples of `coco_object` with a ViT-B/32 in bfloat16, on a GPU",
              "gpu.py --part ranking", gpu=True, tiny="gpu.py --part ranking --tiny"),
    Benchmark("gpu_finetune", "ViT-B/32 in bfloat16, batches of 64, against open_clip's trainer, on a GPU",
              "gpu.py --part finetune --rounds {rounds}", gpu=True, packages=_TRAINERS,
              tiny="gpu.py --part finetune --tiny"),
)  # fmt: skip


def chosen(names: Collection[str]) -> tuple[Benchmark, ...]:
    """Benchmarks by name or by script, in the catalog's order; ``all`` is all of them.

    Raises:
        ValueError: There is none of some name.
    """
    known = {"all", *(each.name for each in CATALOG), *(each.script for each in CATALOG)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no benchmark {', '.join(unknown)}: python -m benchmarks list")
    return tuple(each for each in CATALOG if "all" in names or {each.name, each.script} & set(names))
