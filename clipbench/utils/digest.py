"""The digest of an identity: of a run, a model, a training or a cache."""

from __future__ import annotations

import hashlib
import json


def digest(identity: object) -> str:
    """Hash an object that JSON can represent; other objects (paths, dtypes) are converted to text.

    Returns:
        64 hex digits (SHA-256). The order of keys does not matter, the order of lists does; tuples equal lists.

    Examples:
        >>> digest({"task": "coco_color", "limit": None}) == digest({"limit": None, "task": "coco_color"})
        True
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
