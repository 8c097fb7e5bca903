"""Finds the parquet files of a split in a dataset repository: from its README, else by file name.

The rules are the hub's (https://huggingface.co/docs/hub/datasets-data-files-configuration). They are
applied here and not by ``datasets``, so that one split can be downloaded without the others (COCO's test split
is eight times as large as its validation split), and so that they work offline and on a partial copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from clipbench.errors import DataError
from clipbench.utils.text import pluralize

_SHARD = re.compile(r"(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<rest>(-[0-9a-f]+)?\.parquet)")
_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SYNONYMS_OF = {word: words for words in _SYNONYMS.values() for word in words}


def split_files(
    names: Sequence[str],
    card: Mapping[str, Any] | None,
    *,
    config: str | None,
    split: str,
    where: str,
    or_only: bool = False,
) -> list[str]:
    """The parquet files of a split, in the order of their rows.

    Args:
        names: Every file of the repository, relative to it, with ``/``.
        card: The metadata block of its README.
        config: Configuration name; None means the default.
        split: Split name.
        where: The repository or folder, for messages.
        or_only: If there is only one split, use it under any name.

    Returns:
        File names; empty if the repository has no parquet files.

    Raises:
        DataError: The configuration or split does not exist, or a shard is missing.
    """
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if not parquet:
        return []
    patterns = _patterns(card, config, where)
    if patterns:
        split = known_split(split, list(patterns), where, or_only=or_only)
        found = [name for name in parquet if any(fnmatchcase(name, pattern) for pattern in patterns[split])]
        if not found:
            raise DataError(f"{where}: the README says that split {split!r} is {patterns[split]}, but no file matches")
    else:
        found = _by_name(parquet, split, where, or_only=or_only)
    _require_all_shards(found, where)
    return found


def _patterns(card: Mapping[str, Any] | None, config: str | None, where: str) -> dict[str, list[str]]:
    """Split to file patterns, from the ``configs`` of a README; empty if it declares none."""
    configs = [entry for entry in (card or {}).get("configs") or () if isinstance(entry, dict)]
    if not configs:
        return {}
    by_name = {str(entry.get("config_name", "default")): entry for entry in configs}
    chosen = config or next((name for name, entry in by_name.items() if entry.get("default")), None)
    if chosen is None:
        chosen = "default" if "default" in by_name else next(iter(by_name)) if len(by_name) == 1 else ""
    if chosen not in by_name:
        wanted = f"no configuration {chosen!r}" if chosen else "several configurations: name one"
        raise DataError(f"{where}: {wanted}; the configurations are: {', '.join(by_name)}")
    entry = by_name[chosen]
    prefix = f"{str(entry['data_dir']).strip('/')}/" if entry.get("data_dir") else ""
    files = entry.get("data_files")
    if files is None:
        return {}
    if isinstance(files, list) and all(isinstance(item, dict) for item in files):
        pairs = [(str(item.get("split", "train")), item.get("path")) for item in files]
    elif isinstance(files, dict):
        pairs = [(str(split), path) for split, path in files.items()]
    else:
        pairs = [("train", files)]
    return {split: [prefix + str(path) for path in _listed(paths)] for split, paths in pairs}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def synonyms(split: str) -> tuple[str, ...]:
    """The names of a split, such as ``validation``, ``val`` and ``dev``."""
    return _SYNONYMS_OF.get(split, (split,))


def known_split(split: str, there: Sequence[str], where: str, *, or_only: bool) -> str:
    """The repository's name of a split: ``val`` may be called ``validation``."""
    for word in (split, *_SYNONYMS_OF.get(split, ())):
        if word in there:
            return word
    if or_only and len(there) == 1:
        return there[0]
    wanted = f"no split {split!r}" if split else "several splits: name one"
    raise DataError(
        f"{where}: {wanted}; the splits are: {', '.join(there)} (?split={there[0]} after the place names one)"
    )


def _by_name(parquet: list[str], split: str, where: str, *, or_only: bool) -> list[str]:
    """Files with the split in their path; all files if there is only one series of shards."""
    labels = {name: _split_label(name) for name in parquet}
    there = sorted({label for label in labels.values() if label})
    if not there or (len(there) == 1 and there[0] not in _SYNONYMS):
        return parquet
    chosen = known_split(split, there, where, or_only=or_only)
    return [name for name in parquet if labels[name] == chosen]


def _split_label(name: str) -> str | None:
    """The split in a file's path: a known word, or the name before the shard number."""
    parts = [part.rstrip("0123456789") for part in re.split(r"[^a-zA-Z0-9]+", name.removesuffix(".parquet"))]
    for word in reversed(parts):
        for label, words in _SYNONYMS.items():
            if word in words:
                return label
    shard = _SHARD.fullmatch(name)
    return shard["stem"].rpartition("/")[2] if shard else None


def _require_all_shards(names: list[str], where: str) -> None:
    """Detect a partial copy, which only the shard counts in the file names reveal."""
    series: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            series.setdefault((match["stem"], int(match["count"])), set()).add(int(match["index"]))
    for (stem, count), indices in series.items():
        missing = sorted(set(range(count)) - indices)
        if missing:
            first = f"{stem}-{missing[0]:05d}-of-{count:05d}.parquet"
            raise DataError(
                f"{where}: incomplete: {len(missing)} of {pluralize(count, 'file')} missing, the first is {first}"
            )
