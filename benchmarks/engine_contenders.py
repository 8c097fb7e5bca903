"""The contenders of benchmarks/engine.py, each run in a process of its own: `python engine_contenders.py NAME JSON`.

Prints one JSON object: seconds of wall and CPU time (that of decoding processes too), and what was found. In `ours` and
`peer` samples are listed, and the model is loaded and warmed up, before the clock starts; `run` times all but imports.
"""

from __future__ import annotations

import copy
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from clipbench.data import Source
from clipbench.evaluation.api import evaluate
from clipbench.evaluation.data_report import DataReport
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import prepare_tasks
from clipbench.evaluation.runner import EvaluationRun
from clipbench.models import load_model, packing
from clipbench.models.open_clip.adapter import WEIGHTS_NAME
from clipbench.models.open_clip.text_tower import project, states
from clipbench.task_types.base import Task
from clipbench.types import Sample, SampleResult
from clipbench.utils.allocator import keep_freed_memory

Answer = dict[str, Any]
CUTOFFS = [1, 5, 10]
PEER_MODEL = "ViT-B-32-quickgelu"
WARM_UP = ["a photo of a cat"]


@contextmanager
def clock() -> Iterator[dict[str, float]]:
    """Time what is within: `wall` and `cpu`, in seconds; processes that ended within are counted."""

    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)

    times: dict[str, float] = {}
    wall_before, cpu_before = time.perf_counter(), cpu()
    yield times
    times.update(wall=time.perf_counter() - wall_before, cpu=cpu() - cpu_before)


def options_of(asked: Answer) -> EvaluationOptions:
    """Local COCO, of which photographs may be missing."""
    return EvaluationOptions(
        data={}
        if str(asked.get("task")).endswith(".yaml") or asked.get("model") == "demo"
        else {"coco": asked["coco"]},
        allow_missing=True,
        workers=asked["workers"],
        limit=asked.get("limit"),
    )


def chosen(asked: Answer) -> tuple[Task, Source, list[Sample]]:
    """A task, its data, and its samples: all of them, or `asked["samples"]` spread evenly."""
    plan = prepare_tasks(asked["task"], options_of(asked))[0]
    if plan.source is None or plan.error:
        raise SystemExit(plan.error)
    found = list(DataReport(plan.task, plan.source).track(plan.task.samples(plan.source)))
    count = min(asked["samples"] or len(found), len(found))
    return plan.task, plan.source, [found[number * len(found) // count] for number in range(count)]


def restricted(task: Task, samples: list[Sample]) -> Task:
    """The task, on these of its samples. Of its own class: another one may not have the name of a built-in task."""
    limited: Any = copy.copy(task)

    def some(source: Source) -> Iterator[Sample]:
        next(type(task).samples(limited, source))  # a classification task learns its classes
        yield from samples

    limited.samples = some
    return limited  # type: ignore[no-any-return]


class Recording:
    """What went into a clipbench model's towers, to be run through them again without anything around it."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.pixels: list[torch.Tensor] = []
        self.rows: list[Any] = []
        self._encode_images, self._encode_rows = model.image_features, model.packed_text.features
        model.image_features = lambda pixels: self.pixels.append(pixels) or self._encode_images(pixels)
        model.packed_text.features = lambda rows: self.rows.append(rows) or self._encode_rows(rows)

    @property
    def images(self) -> int:
        """How many images were encoded."""
        return sum(map(len, self.pixels))

    @property
    def tokens(self) -> int:
        """How many tokens went through the text tower, padding included."""
        return sum(len(rows) * max(len(row.ids) for row in rows) for rows in self.rows)

    def replay(self) -> dict[str, float]:
        """Time the same batches through clipbench's own encoders: what is left is the machinery's."""
        with torch.inference_mode(), clock() as times:
            for pixels in self.pixels:
                self._encode_images(pixels)
            for rows in self.rows:
                self._encode_rows(rows)
        return times

    def replay_bare(self) -> dict[str, float]:
        """Time the same batches through the library's towers, all blocks whole, masks ready beforehand."""
        module, tower = self.model.module, getattr(self.model.module, "text", self.model.module)
        heads = tower.transformer.resblocks[0].attn.num_heads
        batches = [packing.collate(rows, self.model.device, self.model.dtype) for rows in self.rows]
        masks = [batch.mask.expand(-1, heads, -1, -1).flatten(0, 1) for batch in batches]
        with torch.inference_mode(), clock() as times:
            for pixels in self.pixels:
                module.encode_image(pixels)
            for batch, mask in zip(batches, masks, strict=True):
                project(tower, batch.end_tokens.of(states(tower, batch.input_ids, batch.position_ids, mask)))
        return times


def ours(asked: Answer) -> Answer:
    """One task by clipbench, and the bare towers on what it gave them."""
    keep_freed_memory()  # as the command line does
    task, _, samples = chosen(asked)
    model = load_model(f"open_clip:{asked['model']}")
    model.fingerprint  # noqa: B018  # hashes the weights, once a model
    prepared = prepare_tasks([restricted(task, samples)], options_of(asked))
    scores: list[list[float]] = []
    right: list[bool] = []

    def keep(name: str, outcome: SampleResult) -> None:
        scores.append(outcome.record["scores"])
        right.append(outcome.correct)

    recording = Recording(model)
    with clock() as times:
        results = EvaluationRun(model, prepared, options_of(asked), on_sample=keep).run()
    report = next(iter(results.tasks.values()))
    if report.error:
        raise SystemExit(report.error)
    floors = {"floor": recording.replay_bare(), "own": recording.replay()}
    found = {**times, **floors, "images": recording.images, "tokens": recording.tokens}
    if task.task_type == "classification":
        return {**found, "right": right}
    if task.task_type in ("ranking", "choice"):
        return {**found, "scores": scores}
    return {**found, "recall": {name: results.metric(task.name, name) for name in task.metrics}}


class _Photographs(torch.utils.data.Dataset[Any]):
    """Images with their texts, or their class, as CLIP_benchmark's datasets give them."""

    def __init__(self, samples: list[Sample], transform: Any, classes: list[str]) -> None:
        self.entries = [
            (sample.images[0].path, classes.index(sample.group) if classes else list(sample.texts))
            for sample in samples
        ]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        path, texts_or_class = self.entries[index]
        return self.transform(Image.open(path).convert("RGB")), texts_or_class


def _collate(items: list[tuple[torch.Tensor, list[str]]]) -> tuple[torch.Tensor, list[list[str]]]:
    return torch.stack([pixels for pixels, _ in items]), [texts for _, texts in items]


class _Kept:
    """The peer's model, which keeps the features that it returns."""

    def __init__(self, model: Any) -> None:
        self.model, self.images, self.texts = model, list[torch.Tensor](), list[torch.Tensor]()
        self.tokens = 0

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        self.images.append(self.model.encode_image(pixels))
        return self.images[-1]

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        self.tokens += ids.numel()
        self.texts.append(self.model.encode_text(ids))
        return self.texts[-1]


def peer(asked: Answer) -> Answer:
    """CLIP_benchmark's loader of models and its metric on one task's samples."""
    from clip_benchmark.metrics import image_caption_selection, zeroshot_classification, zeroshot_retrieval
    from clip_benchmark.models.open_clip import load_open_clip

    task, _, samples = chosen(asked)
    model, transform, tokenizer = load_open_clip(PEER_MODEL, str(Path(asked["model"]) / WEIGHTS_NAME))
    kept = _Kept(model.eval())
    classes = list(getattr(task, "class_names", ()))
    loader = torch.utils.data.DataLoader(
        _Photographs(samples, transform, classes),
        batch_size=asked["peer_batch"],
        num_workers=asked["workers"],
        collate_fn=None if classes else _collate,
    )
    with torch.inference_mode():
        model.encode_image(torch.zeros(1, 3, 224, 224)), model.encode_text(tokenizer(WARM_UP))
    settings = {"device": "cpu", "amp": asked["amp"]}
    if classes:
        with clock() as times:
            templates = [template.replace("{}", "{c}") for template in task.templates]
            weights = zeroshot_classification.zero_shot_classifier(kept, tokenizer, classes, templates, **settings)
            logits, target = zeroshot_classification.run_classification(kept, weights, loader, **settings)
        return {**times, "tokens": kept.tokens, "right": (logits.argmax(dim=1) == target).tolist()}
    if task.task_type in ("ranking", "choice"):
        with clock() as times:
            found = image_caption_selection.evaluate(kept, loader, tokenizer, **settings)
        return {**times, "tokens": kept.tokens, "scores": _scores(kept, len(samples))}
    with clock() as times:
        found = zeroshot_retrieval.evaluate(kept, loader, tokenizer, recall_k_list=CUTOFFS, **settings)
    names = {"image": "t2i", "text": "i2t"}
    return {
        **times,
        "tokens": kept.tokens,
        "recall": {f"{names[way]}_recall@{k}": found[f"{way}_retrieval_recall@{k}"] for way in names for k in CUTOFFS},
    }


def _scores(kept: _Kept, samples: int) -> list[list[float]]:
    unit = torch.nn.functional.normalize
    images = unit(torch.cat(kept.images).float(), dim=-1)  # (N, D)
    texts = unit(torch.cat(kept.texts).float(), dim=-1).unflatten(0, (samples, -1))  # (N, n, D)
    scores: list[list[float]] = torch.einsum("nd,nvd->nv", images, texts).tolist()
    return scores


def run(asked: Answer) -> Answer:
    """Some tasks by clipbench, loading the model included: how many images were encoded."""
    seen: set[object] = set()
    with clock() as times:
        model = load_model(f"open_clip:{asked['model']}")
        recording = Recording(model)
        results = evaluate(
            model,
            asked["tasks"],
            on_sample=lambda name, outcome: seen.add(outcome.record["images"][0]),
            **vars(options_of(asked)),
        )
    if results.failed:
        raise SystemExit(f"{[results.tasks[name].error for name in results.failed]}")
    return {**times, "images": recording.images, "distinct": len(seen)}


def precision(asked: Answer) -> Answer:
    """Some tasks by clipbench in one precision: each sample's decision; the clock starts when the model is loaded."""
    keep_freed_memory()
    decisions: dict[str, dict[str, object]] = {}

    def keep(name: str, outcome: SampleResult) -> None:
        scores = outcome.record.get("scores")
        ranked = isinstance(scores, list) and outcome.values.keys() == {"acc"}
        decisions.setdefault(name, {})[outcome.sample_id] = int(np.argmax(scores)) if ranked else outcome.correct

    model = load_model(asked["model"], model_args={"dtype": asked["dtype"]})
    with clock() as times:
        results = evaluate(model, asked["tasks"], on_sample=keep, **vars(options_of(asked)))
    if results.failed:
        raise SystemExit(f"{[results.tasks[name].error for name in results.failed]}")
    return {**times, "decisions": decisions}


if __name__ == "__main__":
    torch.manual_seed(0)
    contender = {"ours": ours, "peer": peer, "run": run, "precision": precision}[sys.argv[1]]
    print(json.dumps(contender(json.loads(sys.argv[2]))))
