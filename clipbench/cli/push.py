"""`clipbench push`: results on the hub."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli.console import note
from clipbench.errors import ConfigError


@click.command("push")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--model_repo", metavar="OWNER/NAME", help="Put the metrics into this model's card.")
@click.option("--dataset_repo", metavar="OWNER/NAME", help="Put the result files into this dataset.")
@click.option("--no_samples", is_flag=True, help="Leave logged samples out of the dataset.")
@click.option("--private", is_flag=True, help="Make repositories that are not there yet private ones.")
@click.option("--create_pr", is_flag=True, help="Open pull requests rather than commit.")
@click.option("--dry_run", is_flag=True, help="Print exactly what would go out, and send nothing.")
def command(
    results: Path,
    model_repo: str | None,
    dataset_repo: str | None,
    no_samples: bool,
    private: bool,
    create_pr: bool,
    dry_run: bool,
) -> int:
    """Put results on the Hugging Face hub.

    RESULTS is a results file of `clipbench eval`, or a folder with such files. A model's card gets complete results
    only, in its metadata and in `.eval_results/clipbench.yaml`; a dataset gets the files as they are.

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
            click.echo(describe(upload))
            continue
        click.echo(push(upload, private=private, create_pr=create_pr))
        for line in upload.notes:
            note(line)
    return 0
