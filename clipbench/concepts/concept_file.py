"""The schema of a concept's YAML file, imported only when one is read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clipbench.concepts.concept import SEPARATORS, replacement_table

# Every keyword is looked for in every caption, and each of `mutual` is a variant of all others: 4 million at most.
_MOST_KEYWORDS = 10_000
_MOST_MUTUAL = 2_000


class ConceptFile(BaseModel):
    """A concept as written in YAML: ``mutual`` or ``replacements``, or both.

    Attributes:
        name: The concept's name.
        mutual: Keywords, each replaceable by any other.
        replacements: Keyword to the list of its replacements.
        replacement_only: Keywords that are never looked for, only put in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    mutual: list[str] = []
    replacements: dict[str, list[str]] = {}
    replacement_only: list[str] = []

    @model_validator(mode="after")
    def _check(self) -> ConceptFile:
        if len(self.mutual) > _MOST_MUTUAL:
            raise ValueError(
                f"mutual lists {len(self.mutual):,} keywords, each replaced by all others: {_MOST_MUTUAL:,} at most;"
                " give each of them fewer words in replacements"
            )
        if len(self.mutual) + len(self.replacements) > _MOST_KEYWORDS:
            raise ValueError(f"{len(self.mutual) + len(self.replacements):,} keywords: {_MOST_KEYWORDS:,} at most")
        table = self.table()
        words = [*self.mutual, *self.replacements]
        words += [word for others in self.replacements.values() for word in others]
        for word in table:
            if SEPARATORS & set(word) - {" "}:
                raise ValueError(f"{word!r} can never match: {' '.join(sorted(SEPARATORS - {' '}))} separate words")
        if any(not word.strip() or word != " ".join(word.split()) for word in words):
            raise ValueError("a keyword is empty or has stray white space")
        if len(set(self.mutual)) != len(self.mutual):
            raise ValueError("mutual lists a keyword twice")
        for keyword, others in table.items():
            if not others:
                raise ValueError(f"{keyword!r} has no replacement")
            if keyword in others or len(set(others)) != len(others):
                raise ValueError(f"{keyword!r} is replaced by itself, or twice by the same word")
        if not table:
            raise ValueError("no keyword to look for: give mutual or replacements")
        return self

    def table(self) -> dict[str, tuple[str, ...]]:
        """Keyword to its replacements, without those that are never looked for."""
        return replacement_table(self.mutual, self.replacements, self.replacement_only)
