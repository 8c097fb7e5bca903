"""The paper's four concepts and users' own, read from small YAML files of one form."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clipbench.concepts.concept import SEPARATORS, Concept
from clipbench.errors import ConfigError, UnknownName
from clipbench.registry import close_matches
from clipbench.yaml_files import parse_yaml

_TABLES = Path(__file__).parent / "tables"


class ConceptFile(BaseModel):
    """A concept as written in YAML: ``interchangeable`` or ``substitutions``, or both.

    Attributes:
        name: The concept's name.
        interchangeable: Keywords, each replaceable by any other.
        substitutions: Keyword to the list of its replacements.
        never_sources: Keywords that are replacements only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    interchangeable: list[str] = []
    substitutions: dict[str, list[str]] = {}
    never_sources: list[str] = []

    @model_validator(mode="after")
    def _check(self) -> ConceptFile:
        words = [*self.interchangeable, *self.substitutions]
        words += [word for others in self.substitutions.values() for word in others]
        for word in self.table():
            if SEPARATORS & set(word) - {" "}:
                raise ValueError(f"{word!r} can never be found: {' '.join(sorted(SEPARATORS - {' '}))} separate words")
        if any(not word.strip() or word != " ".join(word.split()) for word in words):
            raise ValueError("a keyword is empty or has stray white space")
        if len(set(self.interchangeable)) != len(self.interchangeable):
            raise ValueError("interchangeable lists a keyword twice")
        for keyword, others in self.table().items():
            if not others:
                raise ValueError(f"{keyword!r} has nothing to be exchanged for")
            if keyword in others or len(set(others)) != len(others):
                raise ValueError(f"{keyword!r} is exchanged for itself, or twice for the same word")
        if not self.table():
            raise ValueError("no keyword to look for: give interchangeable or substitutions")
        return self

    def table(self) -> dict[str, tuple[str, ...]]:
        """Keyword to its replacements, keywords that are never looked for left out."""
        table = {word: tuple(o for o in self.interchangeable if o != word) for word in self.interchangeable}
        for word, others in self.substitutions.items():
            table[word] = (*table.get(word, ()), *others)
        return {word: others for word, others in table.items() if word not in self.never_sources}


def concept_names() -> list[str]:
    """The names of the concepts that come with clipbench, sorted."""
    return sorted(path.stem for path in _TABLES.glob("*.yaml"))


@cache
def load_concept(name: str) -> Concept:
    """Load a concept by name, or a user's own from a YAML file.

    Args:
        name: ``object``, ``color``, ``location``, ``size``, or the path of a ``.yaml`` file.

    Raises:
        UnknownName: No concept is called so.
        ConfigError: The file is missing or makes no sense; names the line.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(f"{name}: no such concept file")
    elif name in concept_names():
        path = _TABLES / f"{name}.yaml"
    else:
        raise UnknownName(
            f"unknown concept {name!r}{close_matches(name, concept_names())}: give one of"
            f" {', '.join(concept_names())}, or the path of a YAML file"
        )
    file = parse_yaml(path, ConceptFile)
    return Concept(file.name, file.table())
