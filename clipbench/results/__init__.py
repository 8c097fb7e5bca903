"""Results: what a run found, in memory and on disk."""

from clipbench.results.schema import (
    GroupScore,
    Results,
    ResultsDirectory,
    SampleCount,
    TaskReport,
    read_results,
    sample_line,
    sanitize,
    write_atomically,
)

__all__ = [
    "GroupScore",
    "Results",
    "ResultsDirectory",
    "SampleCount",
    "TaskReport",
    "read_results",
    "sample_line",
    "sanitize",
    "write_atomically",
]
