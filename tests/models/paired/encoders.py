"""Small seeded encoders of many kinds, and how each one's output is pooled, written out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.models.builders import bert_tokenizer, clip_tokenizer, xlm_roberta_tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
PLAIN = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}

Pool = Callable[[Any], torch.Tensor]


def image_config(kind: str) -> Any:
    """The configuration of an image encoder of transformers."""
    import transformers as t

    configs: dict[str, Callable[[], Any]] = {
        "vit": lambda: t.ViTConfig(**VISION),
        "dinov2": lambda: t.Dinov2Config(**PLAIN),
        "dinov2-registers": lambda: t.Dinov2WithRegistersConfig(**PLAIN, num_register_tokens=3),
        "dinov3": lambda: t.DINOv3ViTConfig(**VISION, num_register_tokens=2),
        "beit": lambda: t.BeitConfig(**VISION),
        "clip-vision": lambda: t.CLIPVisionConfig(**VISION),
        "siglip-vision": lambda: t.SiglipVisionConfig(**VISION),
        "mae": lambda: t.ViTMAEConfig(**VISION),
        "ijepa": lambda: t.IJepaConfig(**VISION),
        "swin": lambda: t.SwinConfig(
            embed_dim=8, depths=[1, 2], num_heads=[1, 2], image_size=32, patch_size=4, window_size=4
        ),
        "convnext": lambda: t.ConvNextConfig(**STAGES, image_size=32),
        "resnet": lambda: t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic"),
        "efficientnet": lambda: t.EfficientNetConfig(
            image_size=32, hidden_dim=320, width_coefficient=0.25, depth_coefficient=0.3, in_channels=[32, 16],
            out_channels=[16, 32], kernel_sizes=[3, 3], strides=[1, 2], num_block_repeats=[1, 1], expand_ratios=[1, 6],
        ),
        "poolformer": lambda: t.PoolFormerConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1]),
    }  # fmt: skip
    return configs[kind]()


def build_image_encoder(folder: Path, kind: str) -> Path:
    """Write an image encoder: ``timm NAME``, or a kind of ``image_config``."""
    from transformers import AutoModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    if kind.startswith("timm "):
        return build_timm(folder, kind.removeprefix("timm "))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(image_config(kind)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def build_timm(folder: Path, name: str, size: int = 160) -> Path:
    """Write an encoder as timm's folders on the hub have it."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False)
    folder.mkdir(parents=True)
    save_file({key: tensor.clone() for key, tensor in network.state_dict().items()}, folder / "model.safetensors")
    settings = {key: value for key, value in network.pretrained_cfg.items() if key not in ("url", "hf_hub_id")}
    settings["input_size"] = [3, size, size]
    config = {"architecture": name, "num_classes": network.num_classes, "num_features": network.num_features}
    (folder / "config.json").write_text(json.dumps({**config, "pretrained_cfg": settings}))
    return folder


IMAGES: dict[tuple[str, str | None], Pool] = {
    ("vit", None): lambda out: out.pooler_output,
    ("vit", "cls"): lambda out: out.last_hidden_state[:, 0],
    ("vit", "mean"): lambda out: out.last_hidden_state[:, 1:].mean(1),
    ("dinov2", None): lambda out: out.last_hidden_state[:, 0],
    ("dinov2-registers", "mean"): lambda out: out.last_hidden_state[:, 4:].mean(1),
    ("dinov3", None): lambda out: out.last_hidden_state[:, 0],
    ("dinov3", "mean"): lambda out: out.last_hidden_state[:, 3:].mean(1),
    ("beit", None): lambda out: out.pooler_output,
    ("clip-vision", None): lambda out: out.pooler_output,
    ("siglip-vision", None): lambda out: out.pooler_output,
    ("siglip-vision", "mean"): lambda out: out.last_hidden_state.mean(1),
    ("mae", None): lambda out: out.last_hidden_state[:, 0],
    ("ijepa", None): lambda out: out.last_hidden_state.mean(1),
    ("swin", None): lambda out: out.last_hidden_state.mean(1),
    ("convnext", None): lambda out: out.pooler_output,
    ("convnext", "mean"): lambda out: out.last_hidden_state.mean((2, 3)),
    ("resnet", None): lambda out: out.pooler_output[:, :, 0, 0],
    ("efficientnet", None): lambda out: out.pooler_output,
    ("poolformer", None): lambda out: out.last_hidden_state.mean((2, 3)),
    ("timm test_efficientnet", None): lambda out: out.last_hidden_state.mean((2, 3)),
    ("timm test_vit", None): lambda out: out.pooler_output,
    ("timm test_vit", "mean"): lambda out: out.last_hidden_state[:, 1:].mean(1),
    ("timm test_resnet", "mean"): lambda out: out.last_hidden_state.mean((2, 3)),
}
"""An encoder and how it is pooled (None: the default), with the same by hand, from what transformers returns."""


def text_config(kind: str) -> tuple[Any, Any]:
    """The configuration of a text encoder and its tokenizer."""
    import transformers as t

    sizes = {**SIZES, "max_position_embeddings": 50}
    bert, xlm = bert_tokenizer(), xlm_roberta_tokenizer()
    seq2seq = {
        "d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 50, "pad_token_id": 1,
    }  # fmt: skip
    decoder = {**sizes, "num_key_value_heads": 1, "vocab_size": len(bert)}
    configs: dict[str, Callable[[], Any]] = {
        "bert": lambda: t.BertConfig(**sizes, vocab_size=len(bert)),
        "roberta": lambda: t.RobertaConfig(**sizes, vocab_size=len(xlm), pad_token_id=1),
        "distilbert": lambda: t.DistilBertConfig(
            dim=32, hidden_dim=64, n_layers=3, n_heads=2, max_position_embeddings=50, vocab_size=len(bert)
        ),
        "modernbert": lambda: t.ModernBertConfig(
            **sizes, vocab_size=len(bert), pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2,
            eos_token_id=3,
        ),
        "gpt2": lambda: t.GPT2Config(
            n_embd=32, n_layer=3, n_head=2, n_positions=50, vocab_size=len(bert), bos_token_id=2, eos_token_id=3
        ),
        "qwen3": lambda: t.Qwen3Config(**decoder, head_dim=16),
        "t5": lambda: t.T5Config(
            d_model=32, d_kv=16, d_ff=64, num_layers=3, num_heads=2, vocab_size=len(xlm), pad_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        ),
        "bart": lambda: t.BartConfig(**seq2seq, vocab_size=len(xlm)),
        "clip-text": lambda: t.CLIPTextConfig(**SIZES, eos_token_id=49407, bos_token_id=49406, pad_token_id=49407),
    }  # fmt: skip
    tokenizer = clip_tokenizer() if kind == "clip-text" else xlm if kind in ("roberta", "t5", "bart") else bert
    return configs[kind](), tokenizer


def build_text_encoder(folder: Path, kind: str, *, padding_side: str = "right") -> Path:
    """Write a text encoder of a kind of ``text_config``."""
    from transformers import AutoModel

    config, tokenizer = text_config(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModel.from_config(config)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "embed" in name or "wte" in name or "shared" in name:
                    parameter.normal_(std=0.3)  # as initialized, all texts look alike
    network.save_pretrained(folder)
    tokenizer.padding_side = padding_side
    tokenizer.save_pretrained(folder)
    return folder


TEXTS: dict[tuple[str, str | None], Pool] = {
    ("bert", None): lambda out: out.pooler_output,
    ("bert", "cls"): lambda out: out.last_hidden_state[:, 0],
    ("bert", "mean"): lambda out: out.last_hidden_state.mean(1),
    ("bert", "max"): lambda out: out.last_hidden_state.amax(1),
    ("bert", "cls+mean"): lambda out: torch.cat([out.last_hidden_state[:, 0], out.last_hidden_state.mean(1)], 1),
    ("bert", "mean_sqrt_len"): lambda out: out.last_hidden_state.sum(1) / out.last_hidden_state.shape[1] ** 0.5,
    ("bert", "weighted_mean"): lambda out: _weighted(out.last_hidden_state),
    ("roberta", "mean"): lambda out: out.last_hidden_state.mean(1),
    ("roberta", "eos"): lambda out: out.last_hidden_state[:, -1],
    ("distilbert", None): lambda out: out.last_hidden_state.mean(1),
    ("modernbert", None): lambda out: out.last_hidden_state.mean(1),
    ("gpt2", None): lambda out: out.last_hidden_state[:, -1],
    ("qwen3", None): lambda out: out.last_hidden_state[:, -1],
    ("t5", None): lambda out: out.last_hidden_state.mean(1),
    ("t5", "eos"): lambda out: out.last_hidden_state[:, -1],
    ("bart", "cls"): lambda out: out.last_hidden_state[:, 0],
    ("clip-text", None): lambda out: out.last_hidden_state[:, -1],
    ("clip-text", "mean"): lambda out: out.last_hidden_state.mean(1),
}
"""A text encoder and how it is pooled, with the same by hand, for one text without padding."""


def _weighted(states: torch.Tensor) -> torch.Tensor:
    weights = torch.arange(1, states.shape[1] + 1).float()
    return (states * weights[None, :, None]).sum(1) / weights.sum()
