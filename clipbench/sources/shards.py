"""Which parquet files of a dataset repository make up a split: by its README, else by their names.

The rules are the hub's (https://huggingface.co/docs/hub/datasets-data-files-configuration). They are applied
here and not by ``datasets``, so that one split can be downloaded without the others (COCO's test images are
eight times its validation images), and so that they work offline and on a partial copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from clipbench.errors import DataError

_SHARD = re.compile(r"(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<rest>(-[0-9a-f]+)?\.parquet)")
_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def split_files(
    names: Sequence[str], card: Mapping[str, Any] | None, *, config: str | None, split: str, where: str
) -> list[str]:
    """The parquet files of a split, in the order of their rows.

    Args:
        names: Every file of the repository, relative to it, with ``/``.
        card: The metadata block of its README.
        config: Configuration; None is the default one.
        split: Split.
        where: The repository or folder, for messages.

    Returns:
        File names; empty where the repository has no parquet at all.

    Raises:
        DataError: No such configuration or split, or a shard of it is missing.
    """
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if not parquet:
        return []
    patterns = _patterns(card, config, where)
    if patterns:
        if split not in patterns:
            split = next((word for word in _SYNONYMS.get(split, ()) if word in patterns), split)
        if split not in patterns:
            raise DataError(f"{where}: no split {split!r}; splits there are: {', '.join(patterns)}")
        found = [name for name in parquet if any(fnmatchcase(name, pattern) for pattern in patterns[split])]
        if not found:
            raise DataError(
                f"{where}: the README says that split {split!r} is {patterns[split]}, but no file is"
            )
    else:
        found = _by_name(parquet, split, where)
    _require_all_shards(found, where)
    return found


def _patterns(card: Mapping[str, Any] | None, config: str | None, where: str) -> dict[str, list[str]]:
    """Split to file patterns, from the ``configs`` of a README; empty where it declares none."""
    configs = [entry for entry in (card or {}).get("configs") or () if isinstance(entry, dict)]
    if not configs:
        return {}
    by_name = {str(entry.get("config_name", "default")): entry for entry in configs}
    chosen = config or next((name for name, entry in by_name.items() if entry.get("default")), None)
    if chosen is None:
        chosen = "default" if "default" in by_name else next(iter(by_name)) if len(by_name) == 1 else ""
    if chosen not in by_name:
        wanted = f"no configuration {chosen!r}" if chosen else "several configurations: name one"
        raise DataError(f"{where}: {wanted}; configurations there are: {', '.join(by_name)}")
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


def _by_name(parquet: list[str], split: str, where: str) -> list[str]:
    """Files with the split's name as a word of their path; without any split names, all are ``train``."""
    if found := [name for name in parquet if _names_split(name, (split,))]:
        return found
    if found := [name for name in parquet if _names_split(name, _SYNONYMS.get(split, ()))]:
        return found
    others = {word for name in parquet for word, words in _SYNONYMS.items() if _names_split(name, words)}
    sharded = {match["stem"].rpartition("/")[2] for name in parquet if (match := _SHARD.fullmatch(name))}
    if others or len(sharded) > 1:
        there = ", ".join(sorted(others | sharded))
        raise DataError(f"{where}: no file of split {split!r}; splits there are: {there}")
    return parquet


def _names_split(name: str, words: Sequence[str]) -> bool:
    parts = re.split(r"[^a-zA-Z0-9]+", name.removesuffix(".parquet"))
    return any(re.sub(r"\d+$", "", part) == word or part == word for part in parts for word in words)


def _require_all_shards(names: list[str], where: str) -> None:
    """A copy that was broken off half-way looks whole to whoever lists it, but for the count in its names."""
    series: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            series.setdefault((match["stem"], int(match["count"])), set()).add(int(match["index"]))
    for (stem, count), indices in series.items():
        missing = sorted(set(range(count)) - indices)
        if missing:
            first = f"{stem}-{missing[0]:05d}-of-{count:05d}.parquet"
            raise DataError(
                f"{where}: incomplete: {len(missing)} of {count} files are missing, the first is {first}"
            )
