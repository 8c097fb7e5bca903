"""Names that a shell completes: tasks, models, data sets, concepts. Without torch: a key press waits for it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from clipbench.errors import ClipbenchError

Completions = list[CompletionItem]
Complete = Callable[[click.Context, click.Parameter, str], Completions]


def _completing(found: Callable[[click.Context, str], Iterable[str]]) -> Complete:
    """Keep the names that begin as the word does; if there is none, it is the name of a file."""

    @wraps(found)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
        try:
            names = [name for name in found(ctx, incomplete) if name.startswith(incomplete)]
        except ClipbenchError:  # a broken plug-in; the command itself reports it
            names = []
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]

    return complete


@_completing
def complete_tasks(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Tasks, groups and tags, the last one of a list."""
    from clipbench.task_types.registry import group_members, known_tasks, tag_members

    named = incomplete.split(",")[:-1]
    tasks = known_tasks(ctx.params.get("include_path") or ())
    names = {*(task.name for task in tasks), *group_members(tasks), *tag_members(tasks)}
    return (",".join([*named, name]) for name in sorted(names) if name not in named)


@_completing
def complete_data(ctx: click.Context, incomplete: str) -> list[str]:
    """Data sets that tasks read, as ``NAME=``; a place is that of a file."""
    from clipbench.task_types.registry import known_tasks

    if "=" in incomplete:
        return []
    return sorted({f"{task.dataset.name}=" for task in known_tasks(ctx.params.get("include_path") or ())})


@_completing
def complete_training_data(ctx: click.Context, incomplete: str) -> list[str]:
    """Data sets to train on."""
    from clipbench.training.datasets import training_splits

    return sorted({*training_splits(), "scenes"})


@_completing
def complete_concepts(ctx: click.Context, incomplete: str) -> list[str]:
    """Concepts, the last one of a list."""
    from clipbench.concepts import concept_names

    named = incomplete.split(",")[:-1]
    return [",".join([*named, name]) for name in concept_names() if name not in named]


@_completing
def complete_models(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Libraries, open_clip's weights, and what is in the hub's cache."""
    from clipbench.models.registry import adapters

    for adapter in adapters():
        name = adapter.name if adapter.example == adapter.name else f"{adapter.name}:"
        if not incomplete.startswith(f"{adapter.name}:"):
            yield name
    if incomplete.startswith("open_clip:"):
        yield from (f"open_clip:{name}" for name in _open_clip_weights())
    yield from _cached_models()


def _cached_models() -> list[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = sorted(Path(HF_HUB_CACHE).glob("models--*"))
    return [folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders]


def _open_clip_weights() -> Iterator[str]:
    """``ARCH/TAG`` of open_clip's weights, read from its source: to import it takes torch and seconds."""
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        return
    file = Path(package.origin).with_name("pretrained.py")
    tags: dict[str, list[str]] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        if isinstance(value, ast.Dict):  # _PRETRAINED = {"ViT-B-32": _VITB32, "EVA01-g-14": dict(…), …}
            for architecture, table in zip(value.keys, value.values, strict=True):
                if isinstance(architecture, ast.Constant) and isinstance(architecture.value, str):
                    found = tags.get(table.id, []) if isinstance(table, ast.Name) else _keywords(table)
                    yield from (f"{architecture.value}/{tag}" for tag in found)
        elif isinstance(target, ast.Name):  # _VITB32 = dict(openai=…, laion400m_e31=…, …)
            tags[target.id] = _keywords(value)


def _keywords(call: ast.expr) -> list[str]:
    return [part.arg for part in call.keywords if part.arg] if isinstance(call, ast.Call) else []


class _Bash(BashComplete):
    """Bash cuts words at ``:`` and ``=``, of which names of models and ``NAME=PLACE`` are made."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *[=:] ]] && compopt -o nospace"
    )
    _done = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that one, joined again."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in [*args, incomplete]:
            if words and (word[:1] in (":", "=") or words[-1][-1:] in (":", "=")):
                words[-1] += word
            else:
                words.append(word)
        last = words.pop()
        value = last.partition("=")[2] if last.startswith("-") else last
        self._done = value[: max(value.rfind(":"), value.rfind("=")) + 1]
        return words, last

    def format_completion(self, item: CompletionItem) -> str:
        """Bash replaces what follows its last cut."""
        return f"{item.type},{str(item.value).removeprefix(self._done)}"


add_completion_class(_Bash)
