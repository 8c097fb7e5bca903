"""`clipbench push`: results on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clipbench.cli.command import Command
from clipbench.cli.console import Complaints, note, say
from clipbench.errors import ConfigError, ResultError


@click.command("push", cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--model_repo", metavar="OWNER/NAME", help="Add the metrics to this model's card.")
@click.option("--dataset_repo", metavar="OWNER/NAME", help="Upload the result files to this data set.")
@click.option("--benchmark_repo", metavar="OWNER/NAME",
              help="Declare the tasks in this data set's eval.yaml, which makes it a benchmark.")  # fmt: skip
@click.option("--no_samples", is_flag=True, help="Do not upload logged samples.")
@click.option("--private", is_flag=True, help="Create missing repositories as private ones.")
@click.option("--create_pr", is_flag=True, help="Open pull requests instead of committing.")
@click.option("--dry_run", is_flag=True, help="Print exactly what would be uploaded, and upload nothing.")
def command(
    results: Path,
    model_repo: str | None,
    dataset_repo: str | None,
    benchmark_repo: str | None,
    no_samples: bool,
    private: bool,
    create_pr: bool,
    dry_run: bool,
) -> int:
    """Upload results to the Hugging Face Hub.

    RESULTS is a result file of `clipbench eval`, or a folder with such files. A model card receives complete results
    only, in its metadata and in `.eval_results/`, one file per benchmark. A data set receives the files as they are; if
    both are given, it is named as the source of the model's results. Everything is merged with what is already there.
    Damaged files are reported and not pushed, and the exit code is 1.

    \b
    clipbench push results/openai__clip-vit-base-patch32 --dataset_repo me/clip-results --dry_run
    """
    from clipbench.analysis.hub_commit import push
    from clipbench.analysis.publishing import (
        benchmark_upload,
        check_repo_id,
        dataset_upload,
        describe,
        model_upload,
    )
    from clipbench.results.files import result_files

    repositories = {"model_repo": model_repo, "dataset_repo": dataset_repo, "benchmark_repo": benchmark_repo}
    named = {field: repo for field, repo in repositories.items() if repo is not None}
    if not named:
        raise ConfigError("name --model_repo, --dataset_repo or --benchmark_repo")
    for field, repo in named.items():
        check_repo_id(field, repo)
    complaints = Complaints()
    paths = _readable(result_files(results), complaints)
    if not paths:
        return 1
    uploads = [dataset_upload(paths, dataset_repo, not no_samples)] if dataset_repo else []  # first: it is the source
    uploads += [model_upload(paths, model_repo, dataset_repo)] if model_repo else []
    uploads += [benchmark_upload(paths, benchmark_repo)] if benchmark_repo else []
    for upload in uploads:
        if dry_run:
            say(describe(upload))
            continue
        say(push(upload, private=private, create_pr=create_pr))
        for line in upload.notes:
            note(line)
    return 1 if complaints.any else 0


def _readable(paths: Sequence[Path], complaints: Complaints) -> list[Path]:
    from clipbench.results import read_results

    good = []
    for path in paths:
        try:
            read_results(path)
            good.append(path)
        except ResultError as error:
            complaints(str(error))
    return good
