"""`clipbench annotate`: a challenge set of one's own, from photographs to a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clipbench.cli.command import Command
from clipbench.cli.completion import complete_concepts, complete_data
from clipbench.cli.console import Complaints, note, say
from clipbench.cli.display import display
from clipbench.cli.option_flags import places
from clipbench.cli.options import config_option, model_args_option
from clipbench.cli.values import check_device, check_dtype, parse_model_args
from clipbench.errors import ConfigError
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from clipbench.annotate.options import AnnotateOptions
    from clipbench.annotate.server.workbench import Workbench

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", multiple=True, metavar="NAME=PLACE", callback=places, shell_complete=complete_data,
                 help="The photographs with captions, as in `clipbench eval`; or scenes=40, drawn pictures."),
    click.option("--concept", "-c", metavar="NAME", shell_complete=complete_concepts,
                 help="object, color, size, or a YAML file."),
    click.option("--output_path", "-o", type=click.Path(path_type=Path), metavar="DIR",
                 help="The set's folder, made if it is not there."),
    click.option("--inpainter", metavar="NAME",
                 help="drawn (for scenes), classic (no weights: color and size), or a pipeline of diffusers."
                      " Default: drawn for scenes, else stabilityai/stable-diffusion-2-inpainting."),
    click.option("--inpaint_steps", type=click.IntRange(min=1), help="Denoising steps. Default: the pipeline's own."),
    click.option("--segmenter", metavar="NAME",
                 help="scenes, outlines (COCO's own), or a text-prompted segmenter of transformers. Default: what fits,"
                      " CIDAS/clipseg-rd64-refined with diffusers."),
    click.option("--candidates", type=click.IntRange(min=1), default=3, show_default=True, help="Painted at once."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Of the photographs' order, and of candidates."),
    click.option("--device", callback=check_device, help="cpu, cuda, cuda:1. Default: a GPU if there is one."),
    click.option("--dtype", callback=check_dtype, help="Precision of models, as in `clipbench eval`."),
    click.option("--image_license", default="", metavar="TEXT", help="Where the data states no license."),
    config_option,
)  # fmt: skip


def _set_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class _Group(Command, click.Group):
    """A group that is a command too."""


@click.group("annotate", cls=_Group, invoke_without_command=True)
@_set_options
@click.option("--annotators_per_photograph", type=click.IntRange(min=1),
              help="Annotators who get the same photograph, for agreement. Default: 1.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free one.")
@click.option("--no_browser", is_flag=True, help="Print the page's address, and do not open it.")
@click.pass_context
def command(ctx: click.Context, /, port: int, no_browser: bool, **values: Any) -> None:
    """Make a challenge set: photographs, an edit of each, and a caption for either.

    Serves a page on this machine alone, where annotators go through the photographs. What they confirm is stored at
    once; the same command goes on where it was left, or ended in any other way.

    \b
    clipbench annotate --data coco=FOLDER --concept color --output_path set/
    clipbench annotate export set/
    clipbench eval --model MODEL --tasks set/task.yaml
    """
    if ctx.invoked_subcommand is not None:
        given = [
            name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ]
        if given:
            raise ConfigError(f"--{given[0]}: give it after {ctx.invoked_subcommand}")
        return
    options = _options(values)
    from clipbench.annotate.opening import open_set
    from clipbench.annotate.tools import find_tools

    segmenter, painter = find_tools(options)
    serve, workbench = _server()
    with open_set(options, note) as store, suppress(KeyboardInterrupt):  # Ctrl-C is how the page is closed
        bench = workbench(store, segmenter, painter, options.candidates)
        serve(bench, port=port, on_ready=_opener(no_browser))


@command.command("export", cls=Command)
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path))
@click.option("--include_unreviewed", is_flag=True, help="Also proposals that nobody has reviewed.")
def export(folder: Path, include_unreviewed: bool) -> int:
    """Write a SET as a benchmark: parquet in InpaintCOCO's columns, a data card, and a task.

    Pairs that people have made or accepted are exported. One that breaks a rule (pixels outside of its mask differ) is
    named and left out, and the exit code is 1.
    """
    from clipbench.annotate.export import TASK, export_set

    exported = export_set(
        folder,
        include_unreviewed=include_unreviewed,
        progress=lambda done, total: display.advance("export", done, total),
    )
    complaints = Complaints()
    for line in exported.broken:
        complaints(f"left out: {line}")
    kept = ("rejected",) if include_unreviewed else ("rejected", "unreviewed")
    left = [f"{count:,} {name}" for name, count in exported.counts.items() if name in kept]
    unreviewed = exported.counts.get("unreviewed") and not include_unreviewed
    note(
        f"{pluralize(len(exported.pairs), 'pair')} exported{'; the set has ' + ', '.join(left) if left else ''}"
        f"{' (include_unreviewed exports proposals too)' if unreviewed else ''}"
    )
    say(folder / TASK)
    return 1 if complaints.any else 0


@command.command("propose", cls=Command, resumable=True)
@_set_options
@click.option("--limit", "-L", type=click.IntRange(min=1), default=100, show_default=True,
              help="Proposals that the set is to have, with those of earlier runs.")  # fmt: skip
@click.option("--model", "-M", metavar="NAME",
              help="Keep an edit only where this model sees it, as Eq. 1 says; `none` keeps all."
                   " Default: demo for scenes, else openai/clip-vit-base-patch32.")  # fmt: skip
@model_args_option
def propose(limit: int, model: str | None, model_args: str, **values: Any) -> int:
    """Make pairs without a person, for people to accept or reject.

    They are unreviewed until somebody has: on the page of `clipbench annotate`, with the same flags. The set must not
    rank the model that has chosen them.
    """
    options = _options(values)
    arguments = parse_model_args(model_args)
    from clipbench.annotate.opening import open_set
    from clipbench.annotate.tools import find_tools

    segmenter, painter = find_tools(options)
    with open_set(options, note) as store:
        from clipbench.annotate.propose import Proposer  # brings torch, which a wrong option does without
        from clipbench.models import load_model

        chosen = model or ("demo" if options.is_scenes else "openai/clip-vit-base-patch32")
        loaded = None if chosen == "none" else load_model(chosen, model_args=arguments, device=options.device)
        proposer = Proposer(store, segmenter, painter, candidates=options.candidates, model=loaded)
        done = proposer.run(limit, lambda count, total: display.advance("propose", count, total))
    failures = ", ".join(f"{count:,} {reason}" for reason, count in done.failures.items())
    detail = f"; {failures}{f' ({done.example})' if done.example else ''}" if failures else ""
    tried = pluralize(done.tried, "photograph")
    note(f"{pluralize(done.pairs, 'proposal')}, {done.new:,} of them new, from {tried} tried{detail}")
    if done.pairs < limit:
        note(f"no photograph is left for the other {limit - done.pairs:,}")
    say(options.output_path)
    return 0 if done.pairs else 1


@command.command("push", cls=Command)
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path))
@click.option("--dataset_repo", required=True, metavar="OWNER/NAME", help="The data set's repository.")
@click.option("--private", is_flag=True, help="Create a missing repository as a private one.")
@click.option("--create_pr", is_flag=True, help="Open a pull request instead of committing.")
@click.option("--dry_run", is_flag=True, help="Print exactly what would be uploaded, and upload nothing.")
def push(folder: Path, dataset_repo: str, private: bool, create_pr: bool, dry_run: bool) -> None:
    """Upload an exported SET to the Hugging Face Hub: the parquet file, the card, and the task."""
    from clipbench.analysis.hub_commit import push as send
    from clipbench.analysis.publishing import describe
    from clipbench.annotate.publish import set_upload

    upload = set_upload(folder, dataset_repo)
    say(describe(upload) if dry_run else send(upload, private=private, create_pr=create_pr))


def _options(values: dict[str, Any]) -> AnnotateOptions:
    for name in ("data", "concept", "output_path"):
        if not values[name]:
            raise ConfigError(f"give --{name}")
    from clipbench.annotate.options import AnnotateOptions

    return AnnotateOptions(**values)


def _server() -> tuple[Callable[..., None], type[Workbench]]:
    """What serves the page, and what it needs; their libraries are an extra."""
    try:
        from clipbench.annotate.server.serving import serve
        from clipbench.annotate.server.workbench import Workbench
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise ConfigError(f"{error.name} is not installed: pip install 'clipbench[annotate]'") from None
    return serve, Workbench


def _opener(no_browser: bool) -> Callable[[str], None]:
    def announce(address: str) -> None:
        display.hide()  # from here on the page shows what is done
        note("the page is open to whoever has this address, on this machine; Ctrl-C ends it, and nothing is lost")
        say(address)
        if not no_browser:
            import threading
            import webbrowser

            # Some browsers return only when they are closed, and the page is not served before this has returned.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    return announce
