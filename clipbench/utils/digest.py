"""Digests: of an identity (a run, a model, a training or a cache), and of a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from clipbench.utils.files import open_regular


def digest(identity: object) -> str:
    """Hash an object that JSON can represent; other objects (paths, dtypes) are converted to text.

    Returns:
        64 hex digits (SHA-256). The order of keys does not matter, the order of lists does; tuples equal lists.

    Examples:
        >>> digest({"task": "coco_color", "limit": None}) == digest({"limit": None, "task": "coco_color"})
        True
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits.

    Raises:
        OSError: The file cannot be read, or is not a regular one.
    """
    found = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
