"""Which files a hub repository holds."""

from __future__ import annotations

from typing import Any

from clipbench.models.checks import quiet
from clipbench.models.spec import OPEN_CLIP_CONFIG
from clipbench.utils.hub import cache_if_unreached


def holds_open_clip(repository: str, revision: str | None) -> bool:
    """Whether a hub repository is open_clip's. Answers from the cache when offline; False if unknown."""
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils.hub import cached_file

    try:
        known = try_to_load_from_cache(repository, OPEN_CLIP_CONFIG, revision=revision)
    except ValueError:  # not the form of a repository's name: the loader says so
        return False
    if known is not None:  # a path, or the mark of a file that is known not to be there
        return isinstance(known, str)

    # Errors are left to the loader that follows, which explains them.
    lenient: dict[str, Any] = {
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    try:
        with cache_if_unreached(), quiet():
            return cached_file(repository, OPEN_CLIP_CONFIG, revision=revision, **lenient) is not None
    except Exception:  # an unknown repository or revision: as above
        return False
