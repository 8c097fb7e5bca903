"""Made-up results of eight models that do not exist, to look at a leaderboard: `python docs/made_up_results.py FOLDER`.

Samples and pictures are those of the scenes; similarities are drawn at random around a skill for each model and task.
The scores on COCO are numbers alone. No figure on such a board says anything about a model.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from clipbench.concepts import load_concept
from clipbench.evaluation.assembly import assemble_results
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import PreparedTask, prepare_tasks
from clipbench.evaluation.task_scoring import score_tasks
from clipbench.inference.profile import Profile
from clipbench.inference.scorer import EncodedSample, ScoredSample
from clipbench.models import ModelInfo
from clipbench.results import (
    BreakdownEntry,
    Interpolation,
    Measure,
    Results,
    ResultsDirectory,
    SampleCounts,
    TaskResult,
)
from clipbench.task_types.registry import find_task, select_tasks
from clipbench.types import Sample

# Skill by concept and for retrieval: by how many standard deviations the right answer is ahead.
MODELS: dict[str, dict[str, float]] = {
    "example/base-32": {"object": 3.2, "color": 1.5, "location": 0.05, "size": 0.8, "retrieval": 1.71},
    "example/base-32-color": {"object": 2.9, "color": 3.3, "location": 0.3, "size": 1.0, "retrieval": 1.52},
    "example/base-32-color-half": {"object": 3.15, "color": 2.6, "location": 0.2, "size": 1.0, "retrieval": 1.67},
    "example/base-32-relations": {"object": 2.8, "color": 1.6, "location": 2.0, "size": 1.6, "retrieval": 1.55},
    "example/base-16": {"object": 3.6, "color": 1.9, "location": 0.15, "size": 1.0, "retrieval": 1.83},
    "example/large-14": {"object": 4.0, "color": 2.3, "location": 0.2, "size": 1.3, "retrieval": 1.98},
    "example/sigmoid-16": {"object": 3.7, "color": 2.5, "location": -0.15, "size": 1.1, "retrieval": 1.95},
    "example/tiny": {"object": 1.9, "color": 0.7, "location": 0.0, "size": 0.1, "retrieval": 0.99},
}
BASE = "example/base-32"
HALFWAY = "example/base-32-color-half"
COCO = ("coco_object", "coco_color", "coco_location", "coco_size")
LACKS_COCO_AND_RETRIEVAL = "example/tiny"


class MadeUpScorer:
    """Stands in for the scoring engine: draws similarities instead of encoding anything."""

    def __init__(self, name: str, seed: int) -> None:
        self.profile, self.truncated_texts = Profile(), 0
        self.model = SimpleNamespace(opens_images=False)
        self.info = ModelInfo(library="made up", parameters=1_000_000 * (seed + 1), precision="none")
        self.fingerprint = f"{seed + 1:064x}"
        self.skills = MODELS[name]
        # Half of what a sample's score is made of is the same for all models: some samples are hard for everyone.
        self._own, self._common = np.random.default_rng(seed), np.random.default_rng(99)
        self._skill = 0.0

    def begin(self, task: str, **_: Any) -> None:
        """Start a task."""
        concept = getattr(find_task(task), "concept", None) or find_task(task).where.get("concept", "retrieval")
        self._skill = self.skills[str(concept)]
        self._common = np.random.default_rng(len(task))

    def similarities(self, samples: Iterable[Sample], namespace: str) -> Iterator[ScoredSample]:
        """The right text is ahead of the others by the model's skill, on average."""
        for sample in samples:
            shape = len(sample.images), len(sample.texts)
            noise = self._common.normal(size=shape) + self._own.normal(size=shape)
            noise[range(len(sample.images)), range(len(sample.images))] += self._skill
            likeness = [0.6 * (len(word) % 3 - 1) for word in getattr(sample.texts, "replacements", ())]
            noise[0, 1 : 1 + len(likeness)] += likeness
            yield ScoredSample(sample, (0.24 + 0.02 * noise).astype(np.float32))

    def features(self, samples: Iterable[Sample], namespace: str) -> Iterator[EncodedSample]:
        """Unit features of the image and its texts, around a common direction."""
        for sample in samples:
            meaning = self._common.normal(size=32)
            noise = self._own.normal(size=(1 + len(sample.texts), 32))
            found = (self._skill / 2 * meaning + noise).astype(np.float32)
            yield EncodedSample(sample, found / np.linalg.norm(found, axis=1, keepdims=True))


def _coco(name: str, number: int) -> dict[str, TaskResult]:
    """Numbers alone, as of a run without logged samples."""
    found: dict[str, TaskResult] = {}
    random = np.random.default_rng(number)
    for task_name in COCO if name != LACKS_COCO_AND_RETRIEVAL else ():
        task = find_task(task_name)
        skill, n = MODELS[name][task.concept], task.expected_n
        value = float(task.chance + (0.97 - task.chance) * (1 / (1 + np.exp(1.7 - 1.1 * skill))))
        words = list(load_concept(task.concept).replacements)[:12]
        found[task_name] = TaskResult(
            task_type=task.task_type, primary_metric="acc", version=task.version, expected_n=n, chance=task.chance,
            metrics={"acc": Measure(value, float(np.sqrt(value * (1 - value) / n) * 1.3))},
            higher_is_better={"acc": True}, counts=SampleCounts(original=n, effective=n), complete=True,
            data={"fingerprint": "made up"}, blind={"keyword_prior": round(task.chance * 1.3, 3)},
            breakdown={word: BreakdownEntry(n=40, value=float(np.clip(value + random.normal() / 9, 0, 1)))
                       for word in words},
            declaration={"task": task_name, "dataset": task.dataset.name, "concept": task.concept,
                         "groups": list(task.groups), "tags": []},
        )  # fmt: skip
    return found


def _facts(scorers: dict[str, MadeUpScorer], name: str) -> dict[str, Any]:
    base, tuned = (scorers[one].fingerprint for one in (BASE, f"{BASE}-color"))
    if name == HALFWAY:
        return {"interpolation": Interpolation(base=base, finetuned=tuned, alpha=0.5, inputs="")}
    return {}


def write_results(folder: Path) -> None:
    """Write a results folder for every model, with logged samples."""
    tasks = select_tasks("scenes")
    options = EvaluationOptions()
    plans: list[PreparedTask] = prepare_tasks(tasks, options)
    scorers = {name: MadeUpScorer(name, number) for number, name in enumerate(MODELS)}
    for number, (name, scorer) in enumerate(scorers.items()):
        chosen = [plan for plan in plans if name != LACKS_COCO_AND_RETRIEVAL or not plan.task.whole_set]
        directory = ResultsDirectory(folder, name, datetime.now())
        totals = list(score_tasks(chosen, scorer, options, lambda plan, to=directory: to.samples(plan.task.name)))
        results: Results = assemble_results(totals, scorer, options, name=name, started=time.time(),
                                            **_facts(scorers, name))  # fmt: skip
        if name.startswith(f"{BASE}-") and name != HALFWAY:
            results.model_info |= {"base_model": BASE, "base_fingerprint": scorers[BASE].fingerprint}
        results.tasks |= _coco(name, number)
        directory.write(results)


if __name__ == "__main__":
    write_results(Path(sys.argv[1]))
