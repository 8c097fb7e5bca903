"""Write CLIPs of seeded random weights in both libraries' formats, for trials without a network.

    python benchmarks/make_models.py --output_path DIR [--sizes small,vit-b-32] [--seed 0]

makes DIR/<size>-hf and DIR/<size>-open_clip, which hold the same weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from tests.seeded import SIZES, build_clip


def main() -> None:
    """Read the command line and write the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", type=Path, required=True, help="where to write them")
    parser.add_argument("--sizes", default="small,vit-b-32", help=f"some of {','.join(SIZES)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--activation", choices=("quick_gelu", "gelu"), default="quick_gelu")
    options = parser.parse_args()
    for size in options.sizes.split(","):
        for library, short in (("transformers", "hf"), ("open_clip", "open_clip")):
            directory = options.output_path / f"{size}-{short}"
            build_clip(directory, size, options.seed, library=library, activation=options.activation)
            print(directory)


if __name__ == "__main__":
    main()
