"""`clipbench push`: results on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.cli.command import Command
from clipbench.cli.console import Complaints, note, say
from clipbench.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from clipbench.analysis.publishing import Upload


@click.command("push", cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--model_repo", metavar="OWNER/NAME", help="Add the metrics to this model's card.")
@click.option("--dataset_repo", metavar="OWNER/NAME", help="Upload the result files to this data set.")
@click.option("--benchmark_repo", metavar="OWNER/NAME",
              help="Declare the tasks in this data set's eval.yaml, which makes it a benchmark.")  # fmt: skip
@click.option("--space", metavar="OWNER/NAME",
              help="Upload a site, the folder of `clipbench leaderboard --site`, to this static Space.")  # fmt: skip
@click.option("--no_samples", is_flag=True, help="Do not upload logged samples.")
@click.option("--private", is_flag=True, help="Create missing repositories as private ones.")
@click.option("--create_pr", is_flag=True, help="Open pull requests instead of committing.")
@click.option("--dry_run", is_flag=True, help="Print exactly what would be uploaded, and upload nothing.")
def command(
    results: Path,
    model_repo: str | None,
    dataset_repo: str | None,
    benchmark_repo: str | None,
    space: str | None,
    no_samples: bool,
    private: bool,
    create_pr: bool,
    dry_run: bool,
) -> int:
    """Upload results, or a site made of them, to the Hugging Face Hub.

    RESULTS is a result file of `clipbench eval`, or a folder with such files. A model card receives complete results
    only, in its metadata and in `.eval_results/`, one file per benchmark. A data set receives the files as they are; if
    both are given, it is named as the source of the model's results. Everything is merged with what is already there.
    Damaged files are reported and not pushed, and the exit code is 1.

    \b
    clipbench push results/openai__clip-vit-base-patch32 --dataset_repo me/clip-results --dry_run
    clipbench push site --space me/leaderboard
    """
    from clipbench.analysis.hub_commit import push
    from clipbench.analysis.publishing import describe
    from clipbench.analysis.site.space import site_upload

    repositories = {"model_repo": model_repo, "dataset_repo": dataset_repo, "benchmark_repo": benchmark_repo}
    named = {field: repo for field, repo in repositories.items() if repo is not None}
    complaints = Complaints()
    if space:
        if named:
            raise ConfigError("--space takes a site, and other repositories take results: push them one by one")
        if no_samples:
            raise ConfigError("--no_samples has no effect on --space: write the site with `leaderboard --gallery 0`")
        uploads = [site_upload(results, space)]
    elif named:
        uploads = _result_uploads(results, named, complaints, samples=not no_samples)
    else:
        raise ConfigError("name --model_repo, --dataset_repo, --benchmark_repo or --space")
    for upload in uploads:
        if dry_run:
            say(describe(upload))
            continue
        say(push(upload, private=private, create_pr=create_pr))
        for line in upload.notes:
            note(line)
    return 1 if complaints.any else 0


def _result_uploads(place: Path, named: Mapping[str, str], complaints: Complaints, *, samples: bool) -> list[Upload]:
    """One for each repository that is named; none if no result can be read."""
    from clipbench.analysis.publishing import benchmark_upload, check_repo_id, dataset_upload, model_upload
    from clipbench.results.files import result_files

    for field, repo in named.items():
        check_repo_id(field, repo)
    paths = _readable(result_files(place), complaints)
    if not paths:
        return []
    model_repo, dataset_repo, benchmark_repo = map(named.get, ("model_repo", "dataset_repo", "benchmark_repo"))
    uploads = [dataset_upload(paths, dataset_repo, samples)] if dataset_repo else []  # first: it is the source
    uploads += [model_upload(paths, model_repo, dataset_repo)] if model_repo else []
    uploads += [benchmark_upload(paths, benchmark_repo)] if benchmark_repo else []
    return uploads


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
