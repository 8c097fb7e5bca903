"""The processes and trackers of a training run, through accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.errors import ConfigError
from clipbench.training.options import FinetuneOptions
from clipbench.training.recipe import Recipe
from clipbench.utils.distributed import started_processes
from clipbench.utils.text import reason
from clipbench.utils.trackers import PROJECT, check_trackers, plain_values

if TYPE_CHECKING:
    from accelerate import Accelerator


def start_accelerator(options: FinetuneOptions, output_path: Path) -> Accelerator:
    """Connect to the processes that a launcher started, if there are any, and check the trackers.

    Raises:
        ConfigError: A tracker is unknown or not installed, or the launcher's environment is invalid.
        ProcessesError: The other processes cannot be reached.
    """
    from accelerate import Accelerator

    check_trackers(options.report_to)
    with started_processes(options.device) as processes:  # accelerate keeps the connection after the block
        try:
            accelerator = Accelerator(
                cpu=options.device == "cpu", log_with=list(options.report_to) or None, project_dir=str(output_path)
            )
        except (RuntimeError, ValueError) as error:  # such as ACCELERATE_USE_CPU=maybe
            raise ConfigError(f"accelerate cannot start in this environment: {reason(error)}") from None
        if accelerator.num_processes != processes.count:
            raise ConfigError(
                f"the launcher started {processes.count} processes, and accelerate sees {accelerator.num_processes}:"
                " unset the ACCELERATE_ variables"
            )
        return accelerator


def start_trackers(accelerator: Accelerator, recipe: Recipe) -> None:
    """Start the trackers, with the recipe as the run's configuration."""
    accelerator.init_trackers(PROJECT, config=plain_values(recipe.as_dict()))
