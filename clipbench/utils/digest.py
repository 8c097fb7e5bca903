"""One digest of everything that identifies something: a run, a model, a training, a cache."""

from __future__ import annotations

import hashlib
import json


def digest(identity: object) -> str:
    """Hash anything that JSON can hold; other objects (paths, dtypes) count by their text.

    Returns:
        64 hex digits (SHA-256). The order of keys does not matter, the order of lists does; a tuple is a list.

    >>> digest({"task": "coco_color", "limit": None}) == digest({"limit": None, "task": "coco_color"})
    True
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
