"""Two runs on the same samples: is one better, by how much, and on which samples do they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipbench.analysis.answers import differences_by_cluster, logged_answers, shared_samples
from clipbench.analysis.comparison_table import Comparisons
from clipbench.analysis.standings import SIGNIFICANT
from clipbench.analysis.statistics import Interval, clustered_bootstrap, holm, mcnemar_exact, sign_flip_test
from clipbench.errors import ResultError
from clipbench.evaluation.task_totals import tie_note
from clipbench.results import Results, read_results
from clipbench.results.files import choose_tasks, logged_runs
from clipbench.task_types.registry import find_task_type


@dataclass(frozen=True)
class Comparison:
    """Two runs on one task, over the samples that both scored.

    Attributes:
        task: The task.
        metric: Its primary metric.
        model_a: A's model.
        model_b: B's model.
        n: Samples that both scored.
        clusters: Images that they belong to.
        value_a: The metric over these samples.
        value_b: The same of B.
        interval: B less A, with a 95 % bootstrap interval clustered by image.
        p_value: Of the exact sign-flip test by image (``sign_flip_test``).
        p_mcnemar: Of the exact McNemar test, which takes samples as independent.
        p_holm: ``p_value``, corrected over the tasks compared (Holm).
        only_a: Ids of samples that only A has right.
        only_b: Ids of samples that only B has right.
        unshared_a: Samples that only A's run scored.
        unshared_b: Samples that only B's run scored.
        altered: Ids of samples with one name and other texts or images; they are left out.
        notes: Why the two runs do not compare as they should, a line each.
    """

    task: str
    metric: str
    model_a: str
    model_b: str
    n: int
    clusters: int
    value_a: float
    value_b: float
    interval: Interval
    p_value: float
    p_mcnemar: float
    p_holm: float
    only_a: list[str]
    only_b: list[str]
    unshared_a: int
    unshared_b: int
    altered: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Which run is better, in words: ``A better``, ``B better`` or ``not significant`` (``p_holm`` ≥ 0.05)."""
        if self.p_holm >= SIGNIFICANT:
            return "not significant"
        return "B better" if self.interval.difference > 0 else "A better"


def compare_runs(
    a: str | Path | Results,
    b: str | Path | Results,
    tasks: str | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    on_error: Callable[[str], None] | None = None,
) -> Comparisons:
    """Compare two runs on their logged samples.

    Args:
        a: A results file, or a folder with those of one model; the newest with samples is taken for each task. Or
            results that were written with their samples (``output_path`` and ``log_samples``).
        b: The other.
        tasks: Names and globs, joined by commas; all tasks that both runs logged where left out.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        on_error: Called with one line if a task cannot be compared; the other tasks go on. By default, an error is
            raised.

    Raises:
        ResultError: There are no samples, they cannot be read, or the runs share none.
        UnknownName: A task that the runs have no samples of.
    """
    place_a, place_b = _place(a, "A"), _place(b, "B")
    runs_a, runs_b = logged_runs(place_a), logged_runs(place_b)
    common = {task: path for task, path in runs_a.items() if task in runs_b}
    if not common:
        raise ResultError(
            f"no task that both have samples of: {place_a} has {', '.join(runs_a)}; {place_b} has {', '.join(runs_b)}"
        )
    found = []
    for task in choose_tasks(common, tasks):
        try:
            found.append(_compare(task, runs_a[task], runs_b[task], resamples, seed))
        except ResultError as error:
            if on_error is None:
                raise
            on_error(str(error))
    corrected = holm([comparison["p_value"] for comparison in found])
    return Comparisons(Comparison(**each, p_holm=p) for each, p in zip(found, corrected, strict=True))


def _place(run: str | Path | Results, side: str) -> Path:
    if not isinstance(run, Results):
        return Path(run)
    if run.path is None:
        raise ResultError(f"{side}: its results are in memory only: evaluate with output_path and log_samples")
    return run.path


def _compare(task: str, path_a: Path, path_b: Path, resamples: int, seed: int) -> dict[str, Any]:
    """All fields of a comparison but the corrected p-value."""
    results_a, results_b = read_results(path_a), read_results(path_b)
    metric = _metric(results_a, path_a, task)
    if _metric(results_b, path_b, task) != metric:
        raise ResultError(f"{task}: {path_a} and {path_b} do not have the same primary metric")
    answers_a, answers_b = logged_answers(path_a, task, metric), logged_answers(path_b, task, metric)
    shared = shared_samples(answers_a, answers_b)
    if not shared:
        raise ResultError(f"{task}: the two runs have no sample in common")
    sums, sizes = differences_by_cluster(answers_a, answers_b, shared)
    right_a, right_b = answers_a.right[shared.a], answers_b.right[shared.b]
    only_a, only_b = (answers_a.ids(shared.a[alone]) for alone in (right_a & ~right_b, right_b & ~right_a))
    common = len(shared) + len(shared.altered)
    fields = {
        "task": task,
        "metric": metric,
        "model_a": results_a.model_name,
        "model_b": results_b.model_name,
        "n": len(shared),
        "clusters": len(sums),
        "value_a": float(right_a.mean()),
        "value_b": float(right_b.mean()),
        "interval": clustered_bootstrap((-sums).astype(float), sizes.astype(float), resamples=resamples, seed=seed),
        "p_value": sign_flip_test(sums),
        "p_mcnemar": mcnemar_exact(len(only_a), len(only_b)),
        "only_a": only_a,
        "only_b": only_b,
        "unshared_a": len(answers_a) - common,
        "unshared_b": len(answers_b) - common,
        "altered": answers_a.ids(shared.altered),
    }
    same = path_a.resolve() == path_b.resolve()
    itself = [f"{task}: A and B are the same results, {path_a}: a model compared with itself"] if same else []
    ties = [
        f"{task}: {side}: {said}"
        for side, tied in (("A", answers_a.tied[shared.a]), ("B", answers_b.tied[shared.b]))
        if (said := tie_note(int(tied.sum()), len(shared)))
    ]
    return {**fields, "notes": [*itself, *_seen(fields), *_differing(task, results_a, results_b), *ties]}


def _metric(results: Results, path: Path, task: str) -> str:
    if task not in results.tasks:
        raise ResultError(f"{path}: has samples of {task}, but no such task")
    return results.tasks[task].primary_metric


def _seen(fields: Mapping[str, Any]) -> Iterator[str]:
    """Say plainly that the runs did not see the same samples."""
    task, altered = fields["task"], len(fields["altered"])
    if fields["unshared_a"] or fields["unshared_b"]:
        yield (
            f"{task}: the two runs did not see the same samples: {fields['unshared_a']:,} were scored"
            f" by A alone, {fields['unshared_b']:,} by B alone; compared on the {fields['n']:,} that both scored"
        )
    if altered:
        example = fields["altered"][0]
        yield f"{task}: {altered:,} samples have one name and other texts or images ({example}, …); they are left out"


def _differing(task: str, a: Results, b: Results) -> Iterator[str]:
    version_a, version_b = a.tasks[task].version, b.tasks[task].version
    if version_a != version_b:
        yield f"{task}: A was scored with version {version_a} of the task, B with {version_b}: they do not compare"
    data_a, data_b = a.tasks[task].data.get("fingerprint"), b.tasks[task].data.get("fingerprint")
    if data_a != data_b:
        yield f"{task}: the data differs: A read {data_a}, B read {data_b}"
    if find_task_type(a.tasks[task].task_type).whole_set and a.tasks[task].counts != b.tasks[task].counts:
        yield f"{task}: the runs searched sets of other sizes, and a rank depends on the whole set: they do not compare"
    if a.model_fingerprint and a.model_fingerprint == b.model_fingerprint and a.date != b.date:
        yield f"{task}: A ({a.model_name}) and B ({b.model_name}) have the same weights"
