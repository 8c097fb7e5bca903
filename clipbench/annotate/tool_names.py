"""Names of tools that are models: a hub id, or a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from clipbench.errors import ConfigError, UnknownName
from clipbench.utils.registry import close_matches

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_tool(kind: str, name: str, others: Sequence[str], folder: str, revision: str | None) -> None:
    """Refuse a name that cannot be a model's, and a revision of a folder.

    Args:
        kind: ``inpainter`` or ``segmenter``.
        name: The name.
        others: Tools that are no models, for messages.
        folder: What a folder holds, for messages.
        revision: Of a hub repository.

    Raises:
        UnknownName: It is neither a folder nor a hub id.
        ConfigError: A folder has no revisions.
    """
    if not Path(name).exists() and not _HUB_ID.fullmatch(name):
        near = close_matches(name, others)
        raise UnknownName(
            f"unknown {kind} {name[:100]!r}{near}: {', '.join(others)}, a hub id OWNER/NAME, or a {folder}'s folder"
        )
    if revision is not None and Path(name).exists():
        raise ConfigError(f"{kind} {name} is local, and has no revision {revision}: leave it out")
