"""Slow, obvious scoring straight on transformers: one image at a time, every text padded, nothing shared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel

from tests.reference.matching import first_keyword

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


class ReferenceClip:
    """A CLIP from a transformers folder."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.size = self.model.config.vision_config.image_size
        self.seen: dict[Path, np.ndarray] = {}

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Resize the shorter side, crop the centre, normalise: OpenAI's preprocessing, by hand."""
        image = image.convert("RGB")
        scale = self.size / min(image.size)
        width, height = (max(self.size, int(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        cropped = np.asarray(image.crop((left, top, left + self.size, top + self.size)), dtype=np.float64)
        return ((cropped / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)

    @torch.no_grad()
    def image(self, path: Path) -> np.ndarray:
        if path not in self.seen:
            pixels = torch.from_numpy(self.pixels(Image.open(path)))[None]
            pooled = self.model.vision_model(pixel_values=pixels).pooler_output
            feature = self.model.visual_projection(pooled)[0].numpy().astype(np.float64)
            self.seen[path] = feature / np.linalg.norm(feature)
        return self.seen[path]

    @torch.no_grad()
    def texts(self, texts: list[str]) -> np.ndarray:
        rows = []
        for start in range(0, len(texts), 64):
            tokens = self.tokenizer(
                texts[start : start + 64], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            )
            pooled = self.model.text_model(**tokens).pooler_output
            rows.append(self.model.text_projection(pooled).numpy().astype(np.float64))
        features = np.concatenate(rows)
        return features / np.linalg.norm(features, axis=1, keepdims=True)


def photographs(coco: Path) -> dict[str, list[str]]:
    """File name to captions, for the photographs that are there."""
    data = json.loads((coco / "annotations/captions_val2017.json").read_text())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    found: dict[str, list[str]] = {}
    for annotation in data["annotations"]:
        name = names[annotation["image_id"]]
        if (coco / "val2017" / name).exists():
            found.setdefault(name, []).append(annotation["caption"])
    return found


def rank_captions(
    clip: ReferenceClip, coco: Path, substitutions: dict[str, tuple[str, ...]]
) -> dict[tuple[str, str], list[float]]:
    """(File name, caption) to the scores of the caption and its variants."""
    found = {}
    for name, captions in photographs(coco).items():
        for caption in captions:
            keyword = first_keyword(caption, list(substitutions))
            if keyword is None:
                continue
            variants = [caption.replace(keyword, other, 1) for other in substitutions[keyword]]
            image = clip.image(coco / "val2017" / name)
            found[name, caption] = (clip.texts([caption, *variants]) @ image).tolist()
    return found


def retrieval(clip: ReferenceClip, coco: Path) -> dict[str, float]:
    """Recall@k both ways."""
    ranks = retrieval_ranks(clip, coco)
    return {
        f"{way}_recall@{k}": float(np.mean([rank <= k for (kind, _), rank in ranks.items() if kind == way]))
        for k in (1, 5, 10)
        for way in ("t2i", "i2t")
    }


def retrieval_ranks(clip: ReferenceClip, coco: Path) -> dict[tuple[str, str], int]:
    """Direction and file name (with ``#k`` for its caption k) to rank, by sorting rows of one similarity matrix."""
    data = photographs(coco)
    images = np.stack([clip.image(coco / "val2017" / name) for name in data])
    texts = clip.texts([caption for captions in data.values() for caption in captions])
    owner = np.repeat(np.arange(len(data)), [len(captions) for captions in data.values()])
    similar = images @ texts.T
    by_text = np.argsort(-similar, axis=0)
    by_image = np.argsort(-similar, axis=1)
    ranks = {}
    for i, (name, captions) in enumerate(data.items()):
        ranks["i2t", name] = 1 + int(np.flatnonzero(owner[by_image[i]] == i)[0])
        for k in range(len(captions)):
            column = int(np.flatnonzero(owner == i)[0]) + k
            ranks["t2i", f"{name}#{k}"] = 1 + int(np.flatnonzero(by_text[:, column] == i)[0])
    return ranks
