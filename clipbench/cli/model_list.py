"""The models that `--model` names: one or several, or files of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import ConfigError

_LISTS = (".txt", ".yaml", ".yml")


@dataclass(frozen=True, eq=False)
class NamedModel:
    """A model as the user names it.

    Attributes:
        name: Its spec, as ``clipbench.load_model`` takes it.
        args: Its arguments: those of the command and its own.
    """

    name: str
    args: Mapping[str, object]


def named_models(names: Sequence[str], args: Mapping[str, object]) -> list[NamedModel]:
    """Resolve ``--model``, given once or several times.

    A ``.txt`` file has a model on each line (``#`` starts a comment); a YAML file is a list of models, each a name or a
    mapping with ``model`` and ``model_args``.

    Args:
        names: As given.
        args: ``--model_args``, which apply to all of them.

    Raises:
        ConfigError: A file cannot be read, names no model, or a model is named twice.
    """
    found: list[NamedModel] = []
    for name in names:
        path = Path(name)
        if path.suffix in _LISTS and path.is_file():
            found += [NamedModel(one.name, {**args, **one.args}) for one in _read(path)]
        else:
            found.append(NamedModel(name, args))
    from clipbench.models import model_name

    called = [model_name(one.name, one.args) for one in found]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--model: two models are called {twice}: name each once, or give each a run of its own")
    return found


def _read(path: Path) -> list[NamedModel]:
    if path.suffix == ".txt":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--model {path}: cannot be read: {error}") from None
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        found = [NamedModel(line, {}) for line in lines if line]
    else:
        from clipbench.utils.yaml import read_yaml

        data = read_yaml(path)
        if not isinstance(data, list):
            raise ConfigError(f"--model {path}: expected a list of models")
        found = [_entry(path, place, entry) for place, entry in enumerate(data, 1)]
    if not found:
        raise ConfigError(f"--model {path}: names no model")
    return found


def _entry(path: Path, place: int, entry: object) -> NamedModel:
    if isinstance(entry, str):
        return NamedModel(entry, {})
    if isinstance(entry, dict) and set(entry) <= {"model", "model_args"} and isinstance(entry.get("model"), str):
        args = entry.get("model_args") or {}
        if isinstance(args, dict):
            return NamedModel(entry["model"], args)
    raise ConfigError(f"--model {path}: entry {place} is neither a name nor a mapping of model and model_args")
