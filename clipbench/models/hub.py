"""Which files a hub repository holds."""

from __future__ import annotations

from typing import Any

from clipbench.models.spec import OPEN_CLIP_CONFIG


def holds_open_clip(repository: str, revision: str | None) -> bool:
    """Whether a hub repository is open_clip's. Answers from the cache when offline; False where nobody knows."""
    from transformers.utils.hub import cached_file

    # Errors are left to the loader that follows, which explains them.
    lenient: dict[str, Any] = {
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    try:
        return cached_file(repository, OPEN_CLIP_CONFIG, revision=revision, **lenient) is not None
    except Exception:  # an unknown repository or revision: as above
        return False
