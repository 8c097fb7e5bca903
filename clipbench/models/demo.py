"""The model that comes with clipbench, trained on its embedded world of drawn scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clipbench.errors import ConfigError, ModelError
from clipbench.models.hf import TransformersModel
from clipbench.models.hf_loading import load as load_transformers
from clipbench.models.spec import ModelSpec

FOLDER = Path(__file__).parents[1] / "scenes" / "demo"


def load(request: ModelSpec) -> TransformersModel:
    """Load it from the package: an ordinary transformers CLIP.

    Raises:
        ConfigError: An argument was given that the demo model does not have.
        ModelError: The installation lacks it.
    """
    request.only("text_cleaning")
    if request.source or request.revision:
        what = f"demo:{request.source}" if request.source else f"revision {request.revision}"
        raise ConfigError(f"{what}: there is one demo model only, called demo")
    if not (FOLDER / "config.json").is_file():
        raise ModelError(f"the demo model is not in this installation ({FOLDER}): reinstall clipbench")
    return load_transformers(replace(request, source=str(FOLDER)))
