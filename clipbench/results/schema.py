"""The result file ``results_<time>.json``: lm-evaluation-harness's layout, and how older files are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from clipbench.utils.validation import explain

SCHEMA_VERSION = 2

# Strict, so that true is not 1 and "5" is not 5; results contain neither NaN nor infinities.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, le=1)]
StandardError = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]
_LATEST = 253_402_300_799  # seconds since the epoch at the end of the year 9999
_LONGEST_NAME = 200  # bytes; a sample log's name is longer by 42, and file systems take 255


def _name(name: str) -> str:
    """A task's name becomes part of its sample log's file name."""
    if name in ("", ".", "..") or any(sign in "/\\" or ord(sign) < 32 or ord(sign) == 127 for sign in name):
        raise ValueError("not a task name: it is empty, or has a slash or a control character")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"not a task name: longer than {_LONGEST_NAME} bytes")
    return name


TaskName = Annotated[str, AfterValidator(_name)]


class _Open(BaseModel):
    """The fields read from a section that may contain others as well."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _Hub(_Open):
    repo: str = ""
    config: str | None = None
    split: str | None = None


class _Declaration(_Open):
    dataset: str = ""
    groups: list[str] = []
    tags: list[str] = []
    hub: _Hub | None = None


class _Data(_Open):
    layout: str = ""
    location: str = ""
    revision: str | None = None
    fingerprint: str | None = None


class _ModelInfo(_Open):
    parameters: Count | None = None


def _fits(model: type[BaseModel]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator that returns the section unchanged."""

    def check(section: dict[str, Any]) -> dict[str, Any]:
        try:
            model.model_validate(section)
        except ValidationError as error:
            raise ValueError(explain(error, model, section)[1]) from None
        return section

    return check


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SampleCounts(_Strict):
    """Samples in the data, and samples that were scored."""

    original: Count = 0
    effective: Count = 0


class BreakdownEntry(_Strict):
    """The primary metric over one part of a task (one keyword of a ranking task)."""

    n: Count
    value: Share


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
        blind_balanced: The same for metrics that average the primary metric over groups, by metric and rule.
        seconds: Wall time.
    """

    task_type: str
    primary_metric: str
    chance: Share | None = None
    expected_n: Count | None = None
    clusters: Count = 0
    missing_images: Count = 0
    broken_images: Count = 0
    invalid: Count = 0
    tied: Count = 0
    truncated_texts: Count = 0
    complete: Flag = False
    problems: list[str] = []
    error: str | None = None
    data: Annotated[dict[str, Any], AfterValidator(_fits(_Data))] = {}
    breakdown: dict[str, BreakdownEntry] = {}
    blind: dict[str, Share] = {}
    blind_balanced: dict[str, dict[str, Share]] = {}
    seconds: Number = 0.0


class RunConfig(BaseModel):
    """What the run was asked to do: the options of an evaluation, and the arguments of the command line.

    Attributes:
        model: The model as the user named it.
        model_args: How it was loaded.
        tasks: The tasks asked for; a run that was interrupted has results of the first ones only.
        data: Dataset name to the location given for it.
        limit: Samples per task at most; below 1, a share of them.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str = ""
    model_args: dict[str, Any] = {}
    tasks: list[str] = []
    data: dict[str, str] = {}
    limit: Count | Annotated[Number, Field(gt=0, lt=1)] | None = None


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
    alpha: Number
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
    model_info: Annotated[dict[str, Any], AfterValidator(_fits(_ModelInfo))] = {}
    config: RunConfig = RunConfig()
    interrupted: Flag = False
    profile: dict[str, Any] | None = None
    interpolation: Interpolation | None = None
    study_step: StudyStep | None = None
    clipbench_version: str = ""
    git_hash: str | None = None
    date: Annotated[Number, Field(ge=0, le=_LATEST)] = 0.0
    pretty_env_info: str = ""
    total_evaluation_time_seconds: Number = 0.0


Row = dict[str, Number | str | None]


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

    schema_version: Count = SCHEMA_VERSION
    results: dict[str, Row] = {}
    groups: dict[str, Row] = {}
    group_subtasks: dict[str, list[str]] = {}
    configs: dict[str, Annotated[dict[str, Any], AfterValidator(_fits(_Declaration))]] = {}
    versions: dict[str, Count] = {}
    n_samples: dict[str, SampleCounts] = Field(default={}, alias="n-samples")
    higher_is_better: dict[str, dict[str, Flag]] = {}
    tasks: dict[TaskName, TaskReport] = {}
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
