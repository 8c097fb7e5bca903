"""Tiny seeded models of every family, with tokenizers that work, all made without a network.

Each ``build_*`` function writes a transformers checkpoint to a directory and returns the directory.
``FAMILIES`` maps a family's name to its builder. Plain CLIPs of several sizes come from ``build_clip``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clipbench.models import load_model
from clipbench.models.convert import clip_tokenizer, to_open_clip, to_transformers
from tests.seeded import build_clip

__all__ = ["FAMILIES", "WORDS", "build_bert", "build_clip", "build_dual_encoder", "build_vit", "convert"]

WORDS = tuple(
    "a an the photo of white brown red cat dog bird house on in front behind left right large small two and "  # noqa: SIM905
    "with long wooden fence person table city street".split()
)
_LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789.,-'!?")

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}


def bert_tokenizer(context_length: int = 48) -> Any:
    """A wordpiece tokenizer that knows the letters and ``WORDS``."""
    from transformers import BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys([*pieces, *WORDS]))}
    return BertTokenizer(vocab=vocab, model_max_length=context_length)


def xlm_roberta_tokenizer(context_length: int = 48) -> Any:
    """A unigram tokenizer in XLM-RoBERTa's manner."""
    from transformers import XLMRobertaTokenizer

    special = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    letters = [(piece, -8.0) for piece in ["▁", *_LETTERS]]
    words = [(f"▁{word}", -3.0) for word in dict.fromkeys(WORDS)]
    vocab = [*special, *letters, *words, ("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocab, model_max_length=context_length)


def siglip_tokenizer(directory: Path, context_length: int = 16) -> Any:
    """A sentencepiece tokenizer in SigLIP's manner (T5's): no beginning, an end, padded with the end."""
    import sentencepiece
    from transformers import SiglipTokenizer

    sentences = [" ".join(WORDS), " ".join(reversed(WORDS)), " ".join(_LETTERS), *WORDS]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 3), model_writer=model, vocab_size=90, hard_vocab_limit=False,
        pad_id=-1, bos_id=-1, eos_id=1, unk_id=2, minloglevel=2,
    )  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "spiece.model"
    file.write_bytes(model.getvalue())
    return SiglipTokenizer(vocab_file=str(file), model_max_length=context_length)


def siglip2_tokenizer(context_length: int = 16) -> Any:
    """A byte-fallback BPE in Gemma's manner; lowercases, as SigLIP 2 was trained."""
    from transformers import Siglip2Tokenizer

    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{code:02X}>" for code in range(256)), "▁", *_LETTERS]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    return Siglip2Tokenizer(vocab=vocab, merges=[], model_max_length=context_length, padding_side="right")


def _save(directory: Path, config: Any, tokenizer: Any, processor: Any, seed: int) -> Path:
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModel.from_config(config)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "embedding" in name:  # as initialized, all texts look alike
                    parameter.normal_(std=0.3)
                elif "scale" not in name and "temperature" not in name and parameter.ndim > 1:
                    parameter.mul_(3)
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def _clip_processor() -> Any:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _siglip_processor() -> Any:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    return SiglipImageProcessorPil(size={"height": 32, "width": 32})


def build_clip_legacy(directory: Path, seed: int = 0) -> Path:
    """A CLIP whose configuration says ``eos_token_id`` 2, as OpenAI's on the hub do: pooled at the largest id."""
    from transformers import CLIPConfig

    text = {**TOWER, "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    return _save(directory, config, clip_tokenizer(), _clip_processor(), seed)


def build_metaclip2(directory: Path, seed: int = 0) -> Path:
    """MetaCLIP 2: a causal text tower over XLM-RoBERTa's kind of vocabulary, end token 2."""
    from transformers import MetaClip2Config

    tokenizer = xlm_roberta_tokenizer()
    text = {
        **TOWER, "vocab_size": len(tokenizer), "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1,
        "max_position_embeddings": 48, "projection_dim": 16,
    }  # fmt: skip
    vision = {**VISION, "projection_dim": 16}
    config = MetaClip2Config(text_config=text, vision_config=vision, projection_dim=16)
    return _save(directory, config, tokenizer, _clip_processor(), seed)


def build_siglip(directory: Path, seed: int = 0) -> Path:
    """SigLIP: a text tower that sees its padding."""
    from transformers import SiglipConfig

    tokenizer = siglip_tokenizer(directory)
    ends = {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": 1}
    text = {**TOWER, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    config = SiglipConfig(text_config=text, vision_config=VISION)
    return _save(directory, config, tokenizer, _siglip_processor(), seed)


def build_siglip2(directory: Path, seed: int = 0) -> Path:
    """SigLIP 2 with NaFlex: any aspect ratio, images as sequences of patches."""
    from transformers import Siglip2Config
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    tokenizer = siglip2_tokenizer()
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    text = {**TOWER, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    config = Siglip2Config(text_config=text, vision_config={**TOWER, "patch_size": 8, "num_patches": 16})
    return _save(directory, config, tokenizer, Siglip2ImageProcessorPil(patch_size=8, max_num_patches=20), seed)


def build_align(directory: Path, seed: int = 0) -> Path:
    """ALIGN: EfficientNet and BERT, with a temperature in place of a logit scale."""
    from transformers import AlignConfig
    from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

    tokenizer = bert_tokenizer()
    vision = {
        "image_size": 32, "hidden_dim": 32, "width_coefficient": 0.25, "depth_coefficient": 0.3,
        "in_channels": [32, 16], "out_channels": [16, 32], "kernel_sizes": [3, 3], "strides": [1, 2],
        "num_block_repeats": [1, 1], "expand_ratios": [1, 6],
    }  # fmt: skip
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 48}
    config = AlignConfig(text_config=text, vision_config=vision, projection_dim=8)
    processor = EfficientNetImageProcessorPil(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    return _save(directory, config, tokenizer, processor, seed)


def build_altclip(directory: Path, seed: int = 0) -> Path:
    """AltCLIP: XLM-RoBERTa, pooled at the first token."""
    from transformers import AltCLIPConfig

    tokenizer = xlm_roberta_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 50, "project_dim": 32}
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    return _save(directory, config, tokenizer, _clip_processor(), seed)


def build_chinese_clip(directory: Path, seed: int = 0) -> Path:
    """Chinese-CLIP: BERT, pooled at the first token."""
    from transformers import ChineseCLIPConfig
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    tokenizer = bert_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 48}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    processor = ChineseCLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(directory, config, tokenizer, processor, seed)


def build_bert(directory: Path, seed: int = 0) -> Path:
    """A BERT: an encoder of texts only."""
    from transformers import AutoModel, BertConfig

    tokenizer = bert_tokenizer()
    config = BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=48)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def build_vit(directory: Path, seed: int = 0) -> Path:
    """A ViT: an encoder of images only."""
    from transformers import AutoModel, ViTConfig
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(ViTConfig(**VISION)).save_pretrained(directory)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(directory)
    return directory


def build_dual_encoder(directory: Path, seed: int = 0) -> Path:
    """A VisionTextDualEncoder of a ViT and a BERT, saved whole."""
    from transformers import BertConfig, VisionTextDualEncoderConfig, ViTConfig
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    tokenizer = bert_tokenizer()
    text = BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=48)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(ViTConfig(**VISION), text, projection_dim=16)
    return _save(directory, config, tokenizer, ViTImageProcessorPil(size={"height": 32, "width": 32}), seed)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "clip": build_clip,
    "clip-legacy": build_clip_legacy,
    "metaclip2": build_metaclip2,
    "siglip": build_siglip,
    "siglip2-naflex": build_siglip2,
    "align": build_align,
    "altclip": build_altclip,
    "chinese-clip": build_chinese_clip,
    "dual-encoder": build_dual_encoder,
}


_OPEN_CLIP_VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
_OPEN_CLIP_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
OPEN_CLIP_KINDS = ("clip", "resnet", "custom-text", "siglip", "coca", "hf-text", "timm")


def open_clip_config(kind: str, directory: Path) -> dict[str, Any]:
    """The ``model_cfg`` of a tiny open_clip model; a text tower of transformers is written below ``directory``."""
    config: dict[str, Any] = {"embed_dim": 16, "vision_cfg": _OPEN_CLIP_VISION, "text_cfg": _OPEN_CLIP_TEXT}
    if kind == "resnet":
        config["vision_cfg"] = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    elif kind == "custom-text":
        config["custom_text"] = True
    elif kind == "siglip":
        siglip_tokenizer(directory).save_pretrained(directory)
        text = {"vocab_size": 90, "context_length": 16, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}
        tokenizer = {"hf_tokenizer_name": str(directory), "tokenizer_kwargs": {"clean": "canonicalize"}}
        config |= {"custom_text": True, "init_logit_bias": -10, "text_cfg": {**_OPEN_CLIP_TEXT, **text, **tokenizer}}
    elif kind == "coca":
        config |= {
            "custom_text": True,
            "vision_cfg": _OPEN_CLIP_VISION | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
            "text_cfg": {**_OPEN_CLIP_TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
            "multimodal_cfg": {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
        }
    elif kind == "hf-text":
        bert = str(build_bert(directory / "text"))
        text = {"hf_model_name": bert, "hf_tokenizer_name": bert, "hf_pooler_type": "mean_pooler", "context_length": 40}
        config["text_cfg"] = {**text, "hf_proj_type": "mlp"}
    elif kind == "timm":
        config["vision_cfg"] = {"timm_model_name": "test_vit", "timm_pool": "", "image_size": 160}
        config["custom_text"] = True
    return config


def build_open_clip(directory: Path, kind: str = "clip", seed: int = 0, *, quick_gelu: bool = False) -> Path:
    """Write an open_clip checkpoint with open_clip's own means (``OPEN_CLIP_KINDS`` lists the kinds)."""
    import copy
    import json

    import open_clip
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    config = open_clip_config(kind, directory) | ({"quick_gelu": True} if quick_gelu else {})
    settings = {key: value for key, value in copy.deepcopy(config).items() if key != "custom_text"}
    plain = not config.get("custom_text") and kind != "hf-text"
    network = open_clip.CoCa if kind == "coca" else open_clip.CLIP if plain else open_clip.CustomTextCLIP
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network(**settings)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if "embedding" in name or "cls_emb" in name or name == "text_decoder.text_projection":
                    parameter.normal_(std=0.3)  # open_clip leaves the last of these uninitialized
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    save_file(state, directory / "open_clip_model.safetensors")
    text = json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    (directory / "open_clip_config.json").write_text(text)
    return directory


def convert(source: str, directory: Path) -> None:
    """Write a CLIP in the other library's format."""
    model = load_model(source, device="cpu")
    write = to_open_clip if model.info.library == "transformers" else to_transformers
    write(model, directory)
