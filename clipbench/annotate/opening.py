"""Makes a set, or opens one that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clipbench.annotate.database import DATABASE
from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.photographs import Found, find_photographs, open_data
from clipbench.annotate.store import Store, create
from clipbench.annotate.suggestions import paintable
from clipbench.concepts import Concept, load_concept
from clipbench.errors import ConfigError


def open_set(options: AnnotateOptions, on_note: Callable[[str], None] = lambda _: None) -> Store:
    """The set in ``output_path``, made if it is not there, ready to hand out photographs.

    Args:
        options: Of the set.
        on_note: Called with one line that users should know.

    Raises:
        ConfigError: The folder holds a set of another concept, of other data, or of another version.
        DataError: The data cannot be read, or no photograph of it can be annotated.
    """
    concept = _concept(options)
    folder = options.output_path
    if (folder / DATABASE).exists():
        Store(folder).close()  # another version is refused before the data is read
    found = find_photographs(open_data(options), concept, options.image_license)
    for note in found.notes:
        on_note(note)
    create(folder, _meta(options, concept, found))
    store = Store(folder, found.refs)
    try:
        _check(store, options, concept, found)
        store.add_photographs(found.photographs, overwrite=bool(options.image_license))
        _update(store, options, on_note)
    except BaseException:
        store.close()
        raise
    return store


def _concept(options: AnnotateOptions) -> Concept:
    names = None
    if options.is_scenes:
        from clipbench.scenes.scene import NAMES

        names = NAMES
    return paintable(load_concept(options.concept), names)


def _meta(options: AnnotateOptions, concept: Concept, found: Found) -> dict[str, Any]:
    return {
        "concept": concept.name,
        "replacements": {word: list(others) for word, others in concept.replacements.items()},
        "data": options.location,
        "is_scenes": options.is_scenes,
        "fingerprint": found.fingerprint,
        "seed": options.seed,
        "annotators_per_photograph": options.annotators_per_photograph or 1,
        "photographs": found.rows,
        "left_out": dict(found.left_out),
    }


def _check(store: Store, options: AnnotateOptions, concept: Concept, found: Found) -> None:
    there, folder = store.meta(), options.output_path
    if there["concept"] != concept.name or store.concept.replacements != dict(concept.replacements):
        same = there["concept"] == concept.name
        raise ConfigError(
            f"{folder}: holds a set of concept {there['concept']}{' with other keywords' if same else ''}, not of"
            f" {concept.name}: give another output_path"
        )
    if there["fingerprint"] != found.fingerprint:
        raise ConfigError(
            f"{folder}: holds a set of other data, {there['data']}: give that data, or another output_path"
        )
    if there["seed"] != options.seed:
        raise ConfigError(f"{folder}: holds a set of seed {there['seed']}: give that seed, or another output_path")


def _update(store: Store, options: AnnotateOptions, on_note: Callable[[str], None]) -> None:
    before, wanted = store.meta()["annotators_per_photograph"], options.annotators_per_photograph
    if wanted is not None and wanted != before:
        store.set_meta("annotators_per_photograph", wanted)
        on_note(f"{options.output_path}: annotators_per_photograph is now {wanted}, and was {before}")
