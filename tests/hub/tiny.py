"""Tiny repositories in the layout of the real ones, for the loopback hub to serve under their ids."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PIXELS = 16
SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def byte_symbols() -> list[str]:
    """The 256 characters with which CLIP's tokenizer writes bytes, in its vocabulary's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def write_clip(folder: Path, *, seed: int = 0, safetensors: bool = False) -> None:
    """Write a small CLIP with seeded weights in the layout of ``openai/clip-vit-base-patch32``.

    Like that repository's ``main``, it has no safetensors file unless asked, it has the old names of
    the preprocessor's settings, and its end-of-text id is wrongly 2, which means: take the largest id.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    symbols = byte_symbols()
    names = [*symbols, *(symbol + "</w>" for symbol in symbols), *SPECIAL]
    vocabulary = {name: index for index, name in enumerate(names)}
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config=layers
        | {"vocab_size": len(names), "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 77},
        vision_config=layers | {"image_size": PIXELS, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(seed)
    model = CLIPModel(config)
    for parameter in model.parameters():  # the default weights are so small that all inputs look alike
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    if safetensors:
        model.save_pretrained(folder)
    else:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = {
        "unk_token": SPECIAL[1],
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "pad_token": SPECIAL[1],
        "errors": "replace",
        "do_lower_case": True,
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    preprocessor = {
        "crop_size": PIXELS,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": PIXELS,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")


def write_open_clip(folder: Path, *, seed: int = 0) -> None:
    """Write a small open_clip model with seeded weights, as ``open_clip.push_to_hf_hub`` lays it out."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    model_config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": PIXELS, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    torch.manual_seed(seed)
    weights = CLIP(**model_config).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        folder / "open_clip_model.safetensors",
    )
    config = {"model_cfg": model_config, "preprocess_cfg": {"size": [PIXELS, PIXELS], "mode": "RGB"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")


@dataclass(frozen=True)
class Pair:
    """A row of InpaintCOCO.

    Attributes:
        concept: object, color or size.
        coco_caption: Caption of the original image.
        inpaint_caption: Caption of the inpainted image.
        seed: Names the two images, which are noise around a colour each.
    """

    concept: str
    coco_caption: str
    inpaint_caption: str
    seed: int

    def array(self, which: int) -> npt.NDArray[np.uint8]:
        """Pixels of the original (0) or the inpainted image (1), ``(H, W, 3)``."""
        random = np.random.default_rng([self.seed, which])
        mean = random.integers(32, 224, size=3)
        noise = random.normal(0, 60, size=(PIXELS, PIXELS, 3))
        return np.clip(mean + noise, 0, 255).astype(np.uint8)


def pairs(concept: str, count: int, *, first_seed: int = 0) -> list[Pair]:
    """Make up rows of one concept."""
    colors = ["blue", "red", "green", "yellow", "black", "white", "brown", "gray", "orange"]
    nouns = ["cat", "car", "bench", "kite", "truck", "sofa", "umbrella"]
    return [
        Pair(
            concept,
            f"A {colors[i % 9]} {nouns[i % 7]} in street {i}.",
            f"Here is, as number {i * i}, quite a {colors[(i + 4) % 9]} {nouns[i % 7]}" + "!" * (i % 5),
            first_seed + i,
        )
        for i in range(count)
    ]


def write_inpaintcoco(folder: Path, rows: Sequence[Pair]) -> None:
    """Write rows in the columns and the layout of ``phiyodr/InpaintCOCO``."""
    columns: dict[str, list[object]] = {name: [] for name in _features()}
    blank = np.zeros((8, 8, 3), np.uint8)
    for index, row in enumerate(rows):
        caption_details = {
            "captions": [row.coco_caption],
            "coco_url": "",
            "date_captured": "",
            "flickr_url": "",
        }
        columns["concept"].append(row.concept)
        columns["coco_caption"].append(row.coco_caption)
        columns["coco_image"].append(_cell(row.array(0), f"{index:012d}.jpg"))
        columns["inpaint_caption"].append(row.inpaint_caption)
        columns["inpaint_image"].append(_cell(row.array(1), f"{index}.png"))
        columns["mask"].append(_cell(blank, f"mask_{index}.png"))
        columns["worker"].append("worker_0")
        columns["coco_details"].append(
            caption_details | {"height": PIXELS, "id": index, "image_license": "", "text_license": "", "width": PIXELS}
        )
        columns["inpaint_details"].append({"duration": 1, "guidance_scale": 7.5, "prompt": row.inpaint_caption})
        columns["mask_details"].append({"height_factor": 15, "prompt": row.concept, "width_factor": 15})
    metadata = {"huggingface": json.dumps({"info": {"features": _features()}})}
    table = pa.table(columns).replace_schema_metadata(metadata)
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "test-00000-of-00001.parquet", row_group_size=100)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/test-*\n---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


def _cell(pixels: npt.NDArray[np.uint8], name: str) -> dict[str, object]:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": name}


def _features() -> dict[str, object]:
    """Column types as the hub's viewer tells them."""

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    string, number, image = value("string"), value("int64"), {"_type": "Image"}
    return {
        "concept": string,
        "coco_caption": string,
        "coco_image": image,
        "inpaint_caption": string,
        "inpaint_image": image,
        "mask": image,
        "worker": string,
        "coco_details": {
            "captions": {"feature": string, "_type": "Sequence"},
            **dict.fromkeys(("coco_url", "date_captured", "flickr_url"), string),
            **dict.fromkeys(("height", "id"), number),
            **dict.fromkeys(("image_license", "text_license"), string),
            "width": number,
        },
        "inpaint_details": {"duration": number, "guidance_scale": value("float64"), "prompt": string},
        "mask_details": {"height_factor": number, "prompt": string, "width_factor": number},
    }


def captions(concept: str, count: int) -> list[str]:
    """Make up captions that hold a keyword of one concept and of no other, each of them different."""
    places = ["street", "field", "harbour", "room", "hill"]
    words = {
        "object": ["cat", "dog", "bicycle", "bench", "clock", "pizza"],
        "color": ["blue", "red", "green", "white", "brown", "gray"],
        "location": ["left", "right", "above", "below", "under", "over"],
        "size": ["large", "small", "little", "big", "huge", "tall"],
    }[concept]
    form = "a {} as seen in a {} , number {}" if concept == "object" else "something {} as seen in a {} , number {}"
    return [form.format(words[i % 6], places[i % 5], i) for i in range(count)]


def write_captions(
    folder: Path, split: str, rows: Sequence[Sequence[str]], *, image: str, caption: str, listed: bool, seed: int
) -> None:
    """Write a parquet data set of one image column and one caption column, as the hub holds them.

    Args:
        folder: The repository's folder; another split may be there already.
        split: The split.
        rows: Captions, those of a row belong to one image.
        image: The image column.
        caption: The caption column.
        listed: A row holds a list of captions; else each caption is a row with the image again.
        seed: Of the images.
    """
    cells = [_cell(Pair("", "", "", seed + number).array(0), f"{number}.png") for number in range(len(rows))]
    if listed:
        columns = {image: cells, caption: [list(texts) for texts in rows]}
    else:
        columns = {
            image: [cell for cell, texts in zip(cells, rows, strict=True) for _ in texts],
            caption: [text for texts in rows for text in texts],
        }
    string = {"dtype": "string", "_type": "Value"}
    features = {image: {"_type": "Image"}, caption: {"feature": string, "_type": "Sequence"} if listed else string}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, data / f"{split}-00000-of-00001.parquet", row_group_size=100)
    splits = sorted({file.name.split("-")[0] for file in data.iterdir()})
    lines = "".join(f"  - split: {name}\n    path: data/{name}-*\n" for name in splits)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{lines}---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
