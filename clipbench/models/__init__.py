"""Models: one contract, and adapters that load CLIP-like checkpoints of every common kind.

Importing this package imports neither torch nor a model library; ``load_model`` does.
"""

from clipbench.models.base import Model, ModelInfo, Tokens
from clipbench.models.registry import ADAPTERS, Adapter, adapters, check_name, load_model, model_name
from clipbench.models.spec import ModelSpec

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Model",
    "ModelInfo",
    "ModelSpec",
    "Tokens",
    "adapters",
    "check_name",
    "load_model",
    "model_name",
]
