"""Images a second through a convolutional network on a CPU, with and without `keep_freed_memory`, side by side.

    python benchmarks/allocator.py [--images 256] [--batch_size 32] [--rounds 3]

EfficientNet-Lite0 with random weights. Each measurement is a process of its own, as the setting is the process's; the
two take turns, and the medians are printed with their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.figures import JSON_FLAG, Figure, write_figures


def rate(images: int, batch_size: int, *, keep: bool) -> float:
    """Images a second, after one batch to warm up."""
    import timm
    import torch

    from clipbench.utils.allocator import keep_freed_memory

    if keep:
        keep_freed_memory()
    model, pixels = timm.create_model("tf_efficientnet_lite0").eval(), torch.randn(batch_size, 3, 224, 224)
    with torch.inference_mode():
        model(pixels)
        started = time.perf_counter()
        for _ in range(-(-images // batch_size)):
            model(pixels)
    return -(-images // batch_size) * batch_size / (time.perf_counter() - started)


def main() -> None:
    """Measure both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=("plain", "keep"), help=argparse.SUPPRESS)
    parser.add_argument("--json", **JSON_FLAG)
    arguments = parser.parse_args()
    if arguments.measure:
        print(rate(arguments.images, arguments.batch_size, keep=arguments.measure == "keep"))
        return
    found: dict[str, list[float]] = {"plain": [], "keep": []}
    for _ in range(arguments.rounds):
        for way, rates in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", way]
            rates.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    plain, keep = (statistics.median(rates) for rates in found.values())
    print(f"plain {plain:.1f} images/s, memory kept {keep:.1f} images/s, ratio {keep / plain:.2f}")
    figures = [Figure("memory kept", keep, "images/s", "higher"), Figure("plain", plain, "images/s", "higher")]
    write_figures(arguments.json, [*figures, Figure("memory kept ÷ plain", keep / plain, "×", "higher")])


if __name__ == "__main__":
    main()
