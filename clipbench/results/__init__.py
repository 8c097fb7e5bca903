"""Results: what a run found, in memory and on disk."""

from clipbench.results.files import sanitize
from clipbench.results.results import Results, read_results
from clipbench.results.schema import BreakdownEntry, Interpolation, RunConfig, SampleCounts, StudyStep
from clipbench.results.task_result import GroupResult, Measure, TaskResult
from clipbench.results.writer import ResultsDirectory

__all__ = [
    "BreakdownEntry",
    "GroupResult",
    "Interpolation",
    "Measure",
    "Results",
    "ResultsDirectory",
    "RunConfig",
    "SampleCounts",
    "StudyStep",
    "TaskResult",
    "read_results",
    "sanitize",
]
