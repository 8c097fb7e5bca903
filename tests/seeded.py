"""CLIPs of random but seeded weights, for tests, demonstrations and timings where no network can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ConfigError
from clipbench.models.convert import clip_tokenizer, image_processor, to_open_clip
from clipbench.models.hf import TransformersModel
from clipbench.utils.registry import close_matches

# text: hidden, heads, layers; image: hidden, heads, layers, patch, size; and the shared space's dimension.
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"text": (64, 1, 2), "image": (64, 1, 2, 8, 32), "dim": 32},
    "small": {"text": (128, 2, 4), "image": (192, 3, 4, 16, 112), "dim": 128},
    "vit-b-32": {"text": (512, 8, 12), "image": (768, 12, 12, 32, 224), "dim": 512},
    "vit-l-14": {"text": (768, 12, 12), "image": (1024, 16, 24, 14, 224), "dim": 768},
}


def build_clip(
    directory: Path,
    size: str = "tiny",
    seed: int = 0,
    *,
    library: str = "transformers",
    activation: str = "quick_gelu",
) -> Path:
    """Save a CLIP of seeded random weights with OpenAI's real vocabulary.

    Args:
        directory: Where to write it.
        size: ``tiny``, ``small``, ``vit-b-32`` or ``vit-l-14`` (OpenAI's shapes, 151 M and 428 M parameters).
        seed: One seed gives one model; both libraries' formats of it have the same weights.
        library: ``transformers`` or ``open_clip``.
        activation: ``quick_gelu``, as OpenAI's, or ``gelu``.

    Returns:
        ``directory``.

    Raises:
        ConfigError: No such size or library.
    """
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r}{close_matches(size, SIZES)}: one of {', '.join(SIZES)}")
    if library not in ("transformers", "open_clip"):
        raise ConfigError(f"unknown library {library!r}: transformers or open_clip")
    model = seeded_clip(size, seed, activation=activation)
    if library == "transformers":
        model.save(directory)
    else:
        to_open_clip(model, directory)
    return directory


def seeded_clip(size: str = "tiny", seed: int = 0, *, activation: str = "quick_gelu") -> TransformersModel:
    """A CLIP of seeded random weights, in memory."""
    from transformers import CLIPModel

    config = _config(size, activation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CLIPModel(config)
        _spread(network)
    processor = image_processor(
        {
            "size": config.vision_config.image_size,
            "mean": (0.48145466, 0.4578275, 0.40821073),
            "std": (0.26862954, 0.26130258, 0.27577711),
            "interpolation": "bicubic",
        }
    )
    return TransformersModel(network, clip_tokenizer(), processor, id=f"seeded-{size}-{seed}")


def _config(size: str, activation: str) -> Any:
    from transformers import CLIPConfig

    def tower(hidden: int, heads: int, layers: int) -> dict[str, Any]:
        return {
            "hidden_size": hidden,
            "intermediate_size": 4 * hidden,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "hidden_act": activation,
        }

    shape = SIZES[size]
    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    *image, patch, pixels = shape["image"]
    return CLIPConfig(
        text_config={**tower(*shape["text"]), **ends},
        vision_config={**tower(*image), "patch_size": patch, "image_size": pixels},
        projection_dim=shape["dim"],
    )


def _spread(network: Any) -> None:
    """Make untrained features differ from text to text and image to image.

    As initialised, embeddings are so small that all texts look alike and scores nearly tie; larger ones
    (and biases that are not zero) exercise every weight.
    """
    with torch.no_grad():
        network.text_model.embeddings.token_embedding.weight.mul_(10)
        network.vision_model.embeddings.patch_embedding.weight.mul_(10)
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.02)


def build_language_model(directory: Path, kind: str = "gpt2", seed: int = 0) -> Path:
    """Save a causal language model of seeded random weights and CLIP's vocabulary: ``gpt2``, ``llama`` or ``bloom``."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = clip_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 77}
    elif kind == "bloom":
        sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    # Large weights, so that what comes before a word matters for it.
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), initializer_range=0.3, **sizes, **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config)
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
