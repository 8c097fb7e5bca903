"""The result file ``results_<time>.json``: lm-evaluation-harness's layout, and how older files are read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SampleCounts(_Strict):
    """Samples in the data, and samples that were scored."""

    original: int = 0
    effective: int = 0


class BreakdownEntry(_Strict):
    """The primary metric over one part of a task (one keyword of a ranking task)."""

    n: int
    value: float


class TaskReport(_Strict):
    """What a reader needs to trust a task's numbers.

    Attributes:
        task_type: ``ranking``, ``pairs``, ``retrieval``, or a plugin's.
        primary_metric: The metric to quote.
        chance: Its expected value for random guessing.
        expected_n: Samples in the complete data.
        clusters: Images that the standard error is clustered by.
        missing_images: Images that do not exist.
        broken_images: Images that cannot be read.
        invalid: Samples that cannot be scored whatever the model.
        tied: Samples where an equal score withheld the win.
        truncated_texts: Texts cut to the model's context.
        complete: Nothing was missing: the numbers compare with others'.
        problems: What was found, one line each.
        error: Why the task failed; None where it did not.
        data: Where the rows came from.
        breakdown: The primary metric by part.
        blind: The primary metric of rules that see no image, by rule; empty where the task has none, and in older
            files.
        seconds: Wall time.
    """

    task_type: str
    primary_metric: str
    chance: float | None = None
    expected_n: int | None = None
    clusters: int = 0
    missing_images: int = 0
    broken_images: int = 0
    invalid: int = 0
    tied: int = 0
    truncated_texts: int = 0
    complete: bool = False
    problems: list[str] = []
    error: str | None = None
    data: dict[str, Any] = {}
    breakdown: dict[str, BreakdownEntry] = {}
    blind: dict[str, float] = {}
    seconds: float = 0.0


class RunConfig(BaseModel):
    """What the run was asked to do: the options of an evaluation, and the arguments of the command line.

    Attributes:
        model: The model as the user named it.
        model_args: How it was loaded.
        tasks: The tasks asked for; a run that was interrupted has results of the first ones only.
        data: Dataset name to the location given for it.
        limit: Samples per task at most.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str = ""
    model_args: dict[str, Any] = {}
    tasks: list[str] = []
    data: dict[str, str] = {}
    limit: int | None = None


class Interpolation(_Strict):
    """Identity of a model whose weights lie between two others.

    Attributes:
        base: Fingerprint of the original model.
        finetuned: Fingerprint of its fine-tuned version.
        alpha: The share of the fine-tuned weights.
        inputs: Digest of tasks, data and options.
    """

    base: str
    finetuned: str
    alpha: float
    inputs: str


class StudyStep(_Strict):
    """Identity of one scoring step of a study.

    Attributes:
        hash: Digest of ``inputs``.
        inputs: What the scores depend on.
    """

    hash: str
    inputs: dict[str, Any] = {}


class RunRecord(_Strict):
    """How the numbers of a run came about.

    Attributes:
        model_name: The model as results name it.
        model_fingerprint: Digest of weights, preprocessing and tokenizer.
        model_info: The model's architecture, parameters, revision, precision, …
        config: What the run was asked to do.
        interrupted: The run was stopped: later tasks are missing.
        profile: Where the time went, if asked for.
        interpolation: Identity of an interpolated model.
        study_step: Identity of a study's step.
        clipbench_version: The version that wrote the file.
        git_hash: Its commit, where clipbench runs from a checkout.
        date: When the run started, in seconds since the epoch.
        pretty_env_info: Versions and devices, one per line.
        total_evaluation_time_seconds: Wall time.
    """

    model_config = ConfigDict(protected_namespaces=())

    model_name: str = ""
    model_fingerprint: str | None = None
    model_info: dict[str, Any] = {}
    config: RunConfig = RunConfig()
    interrupted: bool = False
    profile: dict[str, Any] | None = None
    interpolation: Interpolation | None = None
    study_step: StudyStep | None = None
    clipbench_version: str = ""
    git_hash: str | None = None
    date: float = 0.0
    pretty_env_info: str = ""
    total_evaluation_time_seconds: float = 0.0


Row = dict[str, float | str | None]


class ResultsFile(RunRecord):
    """One run as a file. Keys are lm-evaluation-harness's where it has them.

    Attributes:
        results: Task to ``{"alias", "acc,none", "acc_stderr,none", …}``; missing values are null.
        groups: Group to the plain mean of its tasks' primary metric, in the same form; the alias says where a task
            of it is not complete.
        group_subtasks: Group to its tasks.
        configs: Task to its declaration.
        versions: Task to its version.
        n_samples: Task to its number of samples, in the file ``n-samples``.
        higher_is_better: Task to metric to true.
        tasks: Task to ``TaskReport``.
        model_name_sanitized: ``model_name`` as the name of a directory.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: int = SCHEMA_VERSION
    results: dict[str, Row] = {}
    groups: dict[str, Row] = {}
    group_subtasks: dict[str, list[str]] = {}
    configs: dict[str, dict[str, Any]] = {}
    versions: dict[str, int] = {}
    n_samples: dict[str, SampleCounts] = Field(default={}, alias="n-samples")
    higher_is_better: dict[str, dict[str, bool]] = {}
    tasks: dict[str, TaskReport] = {}
    model_name_sanitized: str = ""


def upgrade_v1(data: dict[str, Any]) -> dict[str, Any]:
    """Give the content of a file of schema version 1 the form of version 2.

    Version 1 kept the model's facts, the profile, and what identifies interpolations and study steps in ``config``,
    and had other words: ``family`` for ``task_type``, ``unjudgeable`` for ``invalid``, ``text_path`` for
    ``text_batching``. Its ``acc_centred`` follows
    from the accuracy and chance, and is recomputed.
    """
    new = {**data, "schema_version": SCHEMA_VERSION}
    config = dict(data.get("config", {}))
    if "model_facts" in config:
        info = dict(config.pop("model_facts"))
        if "text_path" in info:
            info["text_batching"] = info.pop("text_path")
        new |= {"model_fingerprint": info.pop("fingerprint", None), "model_info": info}
    for name in ("interrupted", "profile", "interpolation"):
        if name in config:
            new[name] = config.pop(name)
    if "step" in config:
        inputs = dict(config.pop("step"))
        new["study_step"] = {"hash": inputs.pop("hash", ""), "inputs": inputs}
    words = {"family": "task_type", "unjudgeable": "invalid"}
    for section in ("tasks", "configs"):
        new[section] = {
            task: {words.get(name, name): value for name, value in entries.items()}
            for task, entries in data.get(section, {}).items()
        }
    return {**new, "config": config}
