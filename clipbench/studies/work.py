"""Doing a study's steps: each training in a process of its own, then the scores of its checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipbench.errors import ClipbenchError, ConfigError, DataError, ModelError
from clipbench.planning import EvaluationOptions, Plan, Progress, plan_tasks
from clipbench.plugins import select_tasks
from clipbench.report import assemble_results, declaration
from clipbench.studies.folder import StudyFolder, Trained
from clipbench.studies.steps import Run, digest, tasks_at, training_inputs
from clipbench.studies.study import Study
from clipbench.training.checkpoints import checkpoints_in, drop_checkpoints, epoch_of, step_of
from clipbench.training.datasets import open_training_data
from clipbench.training.overlap import Overlap, find_overlaps

if TYPE_CHECKING:
    from clipbench.models import Model
    from clipbench.scoring.images import Kept


@dataclass(frozen=True)
class StudyOptions:
    """How a study is done; none of it changes what comes out.

    Attributes:
        data: Dataset name to where the tasks' data is, as ``clipbench eval --data`` takes it.
        training_data: Takes the place of the study's, as ``clipbench finetune --data`` takes it.
        device: Where it is done; by default a GPU where there is one.
        launcher: Put before each training's command, to use several processes: ``torchrun --nproc_per_node 4``.
        cache: Folder of decoded images, see ``clipbench finetune --cache_dir``.
        workers: Threads that decode images.
        allow_missing: Train on and score what is there where images are missing.
        tables: Ids of tables that are wanted; None: all, and the figure.
    """

    data: Mapping[str, str] = field(default_factory=dict)
    training_data: str | None = None
    device: str | None = None
    launcher: str = ""
    cache: Path | None = None
    workers: int = 2
    allow_missing: bool = False
    tables: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened.

    Attributes:
        run: To which run.
        text: What, in a line.
        failed: It is a failure.
    """

    run: str
    text: str
    failed: bool = False


class Workshop:
    """Does runs of a study, one after another.

    Args:
        study: The study.
        folder: Its folder, claimed.
        options: How it is done.
        on_progress: Told how far going through data and scoring are.

    Raises:
        UnknownName, ConfigError: The study names tasks or data that are not there.
    """

    def __init__(self, study: Study, folder: StudyFolder, options: StudyOptions, on_progress: Progress) -> None:
        self._study, self._folder, self._options, self._on_progress = study, folder, options, on_progress
        self._data = options.training_data or study.training.data
        self._fingerprint: str | None = None
        self._plans: dict[str, Plan] | None = None
        self._images: Kept = OrderedDict()
        self._images_of: bytes | None = None

    def do(self, runs: Sequence[Run]) -> Iterator[Told]:
        """Do runs, those that other processes are at last, so that several workshops may share a study.

        Yields:
            What happened. A run that failed is told, and the others go on.

        Raises:
            ResultError: What was done cannot be written.
        """
        others: list[Run] = []
        for run in runs:
            with self._folder.at_work(run) as lock:
                if lock is None:
                    others.append(run)
                    continue
                yield from self._do(run, lock)
        for run in others:
            with self._folder.at_work(run, wait=True) as lock:
                yield from self._do(run, lock or 0)

    def _do(self, run: Run, lock: int) -> Iterator[Told]:
        if run.is_base:
            yield from self._score(run, 0, 0.0, run.base_model, {"base_model": run.base_model})
            return
        trained = self._folder.trained(run)
        try:
            inputs = training_inputs(self._study, run, self._data_fingerprint(), self._options.allow_missing)
        except ClipbenchError as error:
            inputs, trained = {}, None
            self._folder.write_trained(run, Trained(hash="", inputs={}, status="failed", command="", error=str(error)))
            yield Told(run.name, str(error), failed=True)
            return
        if trained is None or trained.status != "finished" or trained.hash != digest(inputs):
            yield Told(run.name, f"training; {self._folder.log(run)} says how far it is")
            trained = self._train(run, inputs, lock)
            self._folder.write_trained(run, trained)
            if trained.error:
                yield Told(run.name, trained.error, failed=True)
                return
            yield Told(
                run.name, f"trained in {trained.seconds or 0:,.0f} s, {trained.samples_per_second or 0:,.0f} captions/s"
            )
        for step, epoch in trained.checkpoints:
            model = self._folder.model(run) / f"checkpoint-{step:06d}"
            yield from self._score(run, step, epoch, str(model), {"training": trained.hash, "step": step})
        self._drop_between(run, trained)

    def _data_fingerprint(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = open_training_data(self._data).provenance.fingerprint
        return self._fingerprint

    def _train(self, run: Run, inputs: Mapping[str, Any], lock: int) -> Trained:
        """Train in a process of its own: its memory is its own, and so is its end."""
        command = finetune_command(self._study, run, self._folder, self._options)
        log = self._folder.log(run)
        log.parent.mkdir(exist_ok=True)
        launcher = self._options.launcher.split() or [sys.executable]
        with log.open("a", encoding="utf-8") as said:
            started = subprocess.Popen(  # noqa: S603  # the user's own launcher
                [*launcher, "-m", *command], stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=[lock]
            )
            try:
                code = started.wait()
            except BaseException:
                started.terminate()
                started.wait()
                raise
        known = {"hash": digest(inputs), "inputs": dict(inputs), "command": " ".join(command)}
        if code:
            return Trained(**known, status="failed", error=_last_words(log, code))
        facts = json.loads((self._folder.model(run) / "finetune.json").read_text())
        spent, steps = facts["training"]["seconds"], facts["training"]["steps"]
        batch = facts["recipe"]["batch_size"]
        checkpoints = [(step_of(path), epoch_of(path)) for path in checkpoints_in(self._folder.model(run))]
        return Trained(
            **known,
            status="finished",
            checkpoints=checkpoints,
            seconds=spent,
            samples_per_second=round(steps * batch / max(spent, 1e-9), 1),
            peak_memory_bytes=facts["training"]["peak_memory_bytes"],
            model=facts["model"],
            data=facts["data"],
        )

    def _score(self, run: Run, step: int, epoch: float, model: str, identity: Mapping[str, object]) -> Iterator[Told]:
        """Score a checkpoint on the tasks that have no results of these inputs yet, keeping each as it comes."""
        tables = set(self._options.tables) if self._options.tables is not None else None
        plans = [self._plan_of(task) for task in tasks_at(self._study, run, epoch, tables)]
        inputs = {plan.task.name: {**identity, **self._task_inputs(plan)} for plan in plans}
        waiting = [plan for plan in plans if not self._is_done(run, step, plan.task.name, inputs[plan.task.name])]
        if not waiting:
            return
        what = f"epoch {epoch:.2g}" if step else "the base model"
        started = time.perf_counter()
        try:
            loaded = self._load(model)
        except ClipbenchError as error:
            yield Told(run.name, f"{what}: {error}", failed=True)
            return
        loaded.id = f"{run.name}, step {step}" if step else run.base_model
        failed = yield from self._score_tasks(run, step, loaded, waiting, inputs)
        done = ", ".join(plan.task.name for plan in waiting if plan.task.name not in failed)
        if done:
            yield Told(run.name, f"{what}: scored on {done} in {time.perf_counter() - started:,.0f} s")

    def _score_tasks(
        self, run: Run, step: int, model: Model, plans: Sequence[Plan], inputs: Mapping[str, Mapping[str, object]]
    ) -> Generator[Told, None, set[str]]:
        from clipbench.evaluation import run_plans
        from clipbench.scoring import Scorer

        failed: set[str] = set()
        options = _evaluation_options(self._study, self._options)
        with ExitStack() as stack:
            images = self._images_for(model)
            scorer = stack.enter_context(Scorer(model, options.batch_size, options.workers, image_features=images))
            started = time.time()
            for result in run_plans(plans, scorer, options, on_progress=self._on_progress):
                task = result.task.name
                asked = {"step": {"hash": digest(inputs[task]), **inputs[task]}}
                results = assemble_results([result], model, options, started, asked)
                self._folder.write_results(run, step, task, results)
                started = time.time()
                if result.error:
                    failed.add(task)
                    yield Told(run.name, result.error, failed=True)
        return failed

    def _load(self, model: str) -> Model:
        from clipbench.models import load_model

        if Path(model).name.startswith("checkpoint-") and not Path(model).is_dir():
            raise ModelError(f"{model} is gone, and a score is missing: pass a new --output_path to train it again")
        return load_model(model, device=self._options.device)

    def _images_for(self, model: Model) -> Kept | None:
        """Image features of models before this one, where the study leaves image towers as they are.

        Base models differ, so the tower is recognised by what it makes of a fixed picture, to the last bit.
        """
        if "image" not in self._study.training.recipe.get("freeze", ()):
            return None
        tower = probe_image_tower(model)
        if tower != self._images_of:
            self._images, self._images_of = OrderedDict(), tower
        return self._images

    def _plan_of(self, task: str) -> Plan:
        if self._plans is None:
            plans = plan_study_tasks(self._study, self._options, self._on_progress)
            self._plans = {plan.task.name: plan for plan in plans}
        return self._plans[task]

    def _task_inputs(self, plan: Plan) -> dict[str, object]:
        from clipbench.embeddings.space import SCORING_VERSION

        return {
            "task": declaration(plan.task),
            "data": plan.source.provenance.fingerprint if plan.source else None,
            "limit": self._study.limit,
            "allow_missing": self._options.allow_missing,
            "scoring": SCORING_VERSION,
        }

    def _is_done(self, run: Run, step: int, task: str, inputs: Mapping[str, object]) -> bool:
        results = self._folder.results(run, step, task)
        if results is None or results.failed:
            return False
        return bool(results.config.get("step", {}).get("hash") == digest(inputs))

    def _drop_between(self, run: Run, trained: Trained) -> None:
        """Remove checkpoints between epochs once they are scored: thirty of a large model would fill a disk."""
        between = [step for step, epoch in trained.checkpoints if abs(epoch - round(epoch)) > 0.02]
        wanted = {(step, task) for step, epoch in trained.checkpoints for task in tasks_at(self._study, run, epoch)}
        if all(self._folder.scores(run, step, task).is_file() for step, task in wanted if step in between):
            drop_checkpoints(self._folder.model(run), between)


def _evaluation_options(study: Study, options: StudyOptions) -> EvaluationOptions:
    return EvaluationOptions(
        data=options.data,
        limit=study.limit,
        allow_missing=options.allow_missing,
        workers=options.workers,
        include_path=tuple(study.include_path),
    )


def plan_study_tasks(study: Study, options: StudyOptions, on_progress: Progress) -> list[Plan]:
    """The tasks of the tables that are wanted, their data gone through.

    Raises:
        UnknownName, ConfigError: The study names tasks or data that are not there.
    """
    chosen = _evaluation_options(study, options)
    return list(plan_tasks(select_tasks(study.tasks(options.tables), chosen.include_path), chosen, on_progress))


def overlaps(study: Study, options: StudyOptions, on_progress: Progress) -> list[Overlap]:
    """The study's tasks whose images are among those that are trained on.

    Raises:
        UnknownName, ConfigError: The study names tasks or data that are not there.
    """
    try:
        rows = open_training_data(options.training_data or study.training.data).rows()
        refs = {ref.key: ref for row in rows for ref in row.images[:1] if not ref.missing}
    except DataError:
        return []  # each training says it
    plans = plan_study_tasks(study, options, on_progress)
    return find_overlaps(list(refs.values()), plans, workers=options.workers, on_progress=on_progress)


def probe_image_tower(model: Model) -> bytes:
    """What a model's preprocessing and image tower make of a fixed picture, as bytes."""
    import numpy as np
    import torch
    from PIL import Image

    shades = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    pixels = model.preprocess(Image.fromarray(shades)).unsqueeze(0)
    with torch.inference_mode():
        return bytes(model.image_features(pixels).float().cpu().numpy().tobytes())


def finetune_command(study: Study, run: Run, folder: StudyFolder, options: StudyOptions) -> list[str]:
    """The command line that trains a run: ``clipbench finetune …``, which makes the same model by itself.

    Raises:
        ConfigError: The recipe has a field that the command line does not know.
    """
    flags: dict[str, object] = {
        "model": run.base_model,
        "data": options.training_data or study.training.data,
        "concept": run.concept,
        "negatives": run.negatives,
        "seed": run.seed,
        "output_path": folder.model(run),
        **study.training.recipe,
        "limit": study.training.limit,
        "device": options.device,
        "cache_dir": options.cache,
        "num_workers": options.workers,
    }
    command = ["clipbench", "finetune"]
    for name, value in flags.items():
        if value is None:
            continue
        if isinstance(value, bool):
            raise ConfigError(f"recipe: {name} {value}: give a number or a word")
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        command += [f"--{name}", text]
    return [*command, *(["--allow_missing"] if options.allow_missing else [])]


def _last_words(log: Path, code: int) -> str:
    """Why a training ended, from what it said last."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("clipbench: error: ")]
    if errors and lines[-1] == errors[-1]:
        return errors[-1].removeprefix("clipbench: error: ")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the training ended with {how}{': ' + lines[-1] if lines else ''} ({log})"
