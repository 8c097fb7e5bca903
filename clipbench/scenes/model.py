"""The demo model's architecture, image processor and vocabulary: a CLIP of 1.2 million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clipbench.concepts import concept_names, load_concept
from clipbench.scenes.tokenizer import CONTEXT_LENGTH
from clipbench.scenes.world import World

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPProcessor, CLIPTokenizer

IMAGE_SIZE: Final = 64  # input pixels per side of the image tower
PATCH_SIZE: Final = 8
MEAN: Final = 0.5
SPREAD: Final = 0.25
_WIDTH: Final = 128


def build_model(vocabulary: int) -> CLIPModel:
    """A CLIP with random weights. The end-of-text token has the highest id, as in OpenAI's."""
    from transformers import CLIPConfig, CLIPModel

    towers = {
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_attention_heads": 4,
        "projection_dim": _WIDTH,
    }
    text = {
        "num_hidden_layers": 3,
        "vocab_size": vocabulary,
        "max_position_embeddings": CONTEXT_LENGTH,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    vision = {"num_hidden_layers": 3, "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE}
    return CLIPModel(CLIPConfig(text_config=towers | text, vision_config=towers | vision, projection_dim=_WIDTH))


def build_processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """The tokenizer and an image processor that resizes to 64 x 64 pixels."""
    from transformers import CLIPImageProcessor, CLIPProcessor

    images = CLIPImageProcessor(
        do_resize=True,
        size={"shortest_edge": IMAGE_SIZE},
        resample=Image.Resampling.BICUBIC,
        do_center_crop=True,
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[MEAN] * 3,
        image_std=[SPREAD] * 3,
    )
    return CLIPProcessor(images, tokenizer)  # type: ignore[no-untyped-call]


def build_words(scenes: int = 3000) -> list[str]:
    """Texts with all words of the captions, and all keywords and replacements of the concepts."""
    texts = [caption for picture in World("train", scenes) for caption in picture.captions]
    for name in concept_names():
        for keyword, others in load_concept(name).replacements.items():
            texts += [keyword, *others]
    return texts


def shrink(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture resized as by the image processor, in bytes (64, 64, 3)."""
    return np.array(picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def encode_texts(tokenizer: Any, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids (N, L), padded with the end-of-text token, and lengths (N) without the padding."""
    rows: list[list[int]] = tokenizer(texts, truncation=True, max_length=CONTEXT_LENGTH)["input_ids"]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), tokenizer.eos_token_id)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    return ids, lengths
