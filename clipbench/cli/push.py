"""`clipbench push`: results on the hub."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.command import Command
from clipbench.cli.console import note, say
from clipbench.errors import ConfigError


@click.command("push", cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--model_repo", metavar="OWNER/NAME", help="Add the metrics to this model's card.")
@click.option("--dataset_repo", metavar="OWNER/NAME", help="Upload the result files to this data set.")
@click.option("--no_samples", is_flag=True, help="Do not upload logged samples.")
@click.option("--private", is_flag=True, help="Create missing repositories as private ones.")
@click.option("--create_pr", is_flag=True, help="Open pull requests instead of committing.")
@click.option("--dry_run", is_flag=True, help="Print exactly what would be uploaded, and upload nothing.")
def command(
    results: Path,
    model_repo: str | None,
    dataset_repo: str | None,
    no_samples: bool,
    private: bool,
    create_pr: bool,
    dry_run: bool,
) -> int:
    """Upload results to the Hugging Face Hub.

    RESULTS is a result file of `clipbench eval`, or a folder with such files. A model card receives complete results
    only, in its metadata and in `.eval_results/clipbench.yaml`; a data set receives the files as they are.

    \b
    clipbench push results/openai__clip-vit-base-patch32 --dataset_repo me/clip-results --dry_run
    """
    from clipbench.analysis.publishing import dataset_upload, describe, model_upload, push
    from clipbench.results.files import result_files

    if not (model_repo or dataset_repo):
        raise ConfigError("name --model_repo, --dataset_repo, or both")
    paths = result_files(results)
    uploads = [model_upload(paths, model_repo)] if model_repo else []
    uploads += [dataset_upload(paths, dataset_repo, not no_samples)] if dataset_repo else []
    for upload in uploads:
        if dry_run:
            say(describe(upload))
            continue
        say(push(upload, private=private, create_pr=create_pr))
        for line in upload.notes:
            note(line)
    return 0
