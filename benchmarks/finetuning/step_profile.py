"""Where the seconds of a training step go, by torch's profiler: what each kind of operation takes by itself."""

from __future__ import annotations

from typing import Any

import torch

# The first kind with a part of an operation's name is its kind.
KINDS = {
    "attention": ("attention", "softmax"),
    "matrix products": ("mm", "linear", "matmul", "convolution", "dot"),
    "layer normalization": ("layer_norm",),
    "AdamW": ("adamw",),
    "activation": ("sigmoid", "gelu"),
    "sums and products of single numbers": ("mul", "add", "sub", "div", "sum", "exp", "pow", "norm"),
    "copies": ("copy", "cat", "index", "gather", "scatter", "clone", "zero", "fill", "empty", "embedding", "select"),
}
REST = "the rest"


class StepProfile:
    """Watches every thread of this process from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])

    def start(self) -> None:
        """Begin."""
        self._profiler.start()

    def stop(self, steps: int) -> dict[str, float]:
        """End; seconds a step by kind, largest first. Threads within an operation are not counted apart."""
        self._profiler.stop()
        seconds = dict.fromkeys((*KINDS, REST), 0.0)
        events: Any = self._profiler.key_averages()  # type: ignore[no-untyped-call]
        for event in events:
            seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / steps
        return dict(sorted(seconds.items(), key=lambda pair: -pair[1]))


def kind_of(operation: str) -> str:
    """The kind of an operation such as ``aten::addmm``."""
    name = operation.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), REST)
