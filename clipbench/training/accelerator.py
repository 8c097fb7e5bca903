"""The processes of a training and its trackers, through accelerate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.errors import ConfigError
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.utils.registry import close_matches

if TYPE_CHECKING:
    from accelerate import Accelerator

_LONGEST_WAIT = timedelta(hours=12)  # of the other processes, while the main one scores or decodes


def start_accelerator(options: FinetuneOptions, output_path: Path) -> Accelerator:
    """Connect to the processes that a launcher started, if there are any, and check the trackers.

    Raises:
        ConfigError: There is no such tracker, or it is not installed.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    _check_trackers(options.report_to)
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Accelerator(
        # Without `cpu`, each process of a launcher takes itself for the only one on a machine without a GPU.
        cpu=options.device == "cpu" or (launched and not torch.cuda.is_available()),
        log_with=list(options.report_to) or None,
        project_dir=str(output_path),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )


def start_trackers(accelerator: Accelerator, recipe: Recipe) -> None:
    """Start the trackers, with the recipe as the run's configuration."""
    # Trackers take numbers and texts only.
    values = recipe.as_dict().items()
    config = {name: value if isinstance(value, int | float | str) else str(value) for name, value in values}
    accelerator.init_trackers("clipbench", config=config)


def _check_trackers(names: Sequence[str]) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known, installed = list(LOGGER_TYPE_TO_CLASS), [str(tracker) for tracker in get_available_trackers()]
    for name in names:  # accelerate itself skips an unknown one without a word
        if name not in known:
            raise ConfigError(f"report_to {name}{close_matches(name, known)}: trackers are {', '.join(known)}")
        if name not in installed:
            raise ConfigError(f"report_to {name}: it is not installed: pip install {name}")
