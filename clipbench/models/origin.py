"""What a checkpoint was fine-tuned from, as its folder says."""

from __future__ import annotations

import json
from pathlib import Path

_RUN = "finetune.json"  # written by clipbench.training.run_folder


def base_facts(model: str) -> dict[str, str]:
    """The base of a model that ``clipbench finetune`` wrote.

    Args:
        model: As the user named it: a folder of a fine-tuning, or one inside it.

    Returns:
        ``base_model``, the base's name, and ``base_fingerprint``, its weights; empty for any other model.
    """
    folder = Path(model.split(":", 1)[-1]).expanduser()
    for file in (folder / _RUN, folder.parent / _RUN) if folder.is_dir() else ():
        try:
            base = json.loads(file.read_text(encoding="utf-8"))["model"]
            return {"base_model": str(base["id"]), "base_fingerprint": str(base["fingerprint"])}
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return {}
