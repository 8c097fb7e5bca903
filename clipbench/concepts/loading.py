"""The paper's four concepts and users' own, read from YAML files of one schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from clipbench.concepts.concept import Concept, replacement_table
from clipbench.errors import ConfigError, UnknownName
from clipbench.utils.registry import close_matches
from clipbench.utils.yaml import parse_yaml

_TABLES = Path(__file__).parent / "tables"


def concept_names() -> list[str]:
    """The names of the bundled concepts, sorted."""
    return sorted(path.stem for path in _TABLES.glob("*.yaml"))


@cache
def load_concept(name: str) -> Concept:
    """Load a concept by name, or a user's own from a YAML file.

    Args:
        name: ``object``, ``color``, ``location``, ``size``, or the path of a ``.yaml`` file.

    Raises:
        UnknownName: There is no such concept.
        ConfigError: The file is missing or invalid; names the line.
    """
    if name in concept_names():
        return _bundled(name)
    if not name.endswith((".yaml", ".yml")):
        raise UnknownName(
            f"unknown concept {name!r}{close_matches(name, concept_names())}: give one of"
            f" {', '.join(concept_names())}, or the path of a YAML file"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"{name}: no such concept file")
    from clipbench.concepts.concept_file import ConceptFile  # brings pydantic, which a mere listing does without

    file = parse_yaml(path, ConceptFile)
    return Concept(file.name, file.table())


def _bundled(name: str) -> Concept:
    """A bundled concept; its file is known to be valid, so pydantic is not needed."""
    import yaml

    file = yaml.safe_load((_TABLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return Concept(file.pop("name"), replacement_table(**file))
