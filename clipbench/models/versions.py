"""The versions of the model libraries with which scores have been tested."""

from __future__ import annotations

import importlib

from clipbench.errors import ModelError

# Package, and the major version whose functions, settings and tokenizers the adapters rely on
# (tests/models/test_versions.py holds them to it). pyproject.toml has the same bounds.
TESTED = {"open_clip": ("open_clip_torch", 3), "transformers": ("transformers", 5)}


def require_tested(library: str) -> None:
    """Refuse an untested major version of a library, with which models would load but might score differently.

    Raises:
        ModelError: Another major version is installed; says what to install.
    """
    package, major = TESTED[library]
    version = str(importlib.import_module(library).__version__)
    if version.split(".")[0] != str(major):
        raise ModelError(
            f"{package} {version} is installed, and scores are tested with {major}.x only: "
            f"run pip install '{package}>={major},<{major + 1}'"
        )
