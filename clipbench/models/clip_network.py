"""CLIP in torch alone, with the names that transformers gives its parts and weights.

Importing transformers' CLIP takes longer than what the demo model is asked for. Radford et al. 2021, arXiv 2103.00020,
§2.4: two transformers with pre-normalization; a text is read at its end token, an image at a class token.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Config(SimpleNamespace):
    """A configuration of transformers as its file has it, by attribute."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Config:
        """The configuration that a ``config.json`` contains."""
        return cls(**{name: cls.of(value) if isinstance(value, Mapping) else value for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """What ``config.json`` is to contain."""
        return {name: value.to_dict() if isinstance(value, Config) else value for name, value in vars(self).items()}


class States(NamedTuple):
    """What a tower gives: its last states ``(B, L, W)``, and those that features are made of, ``(B, W)``."""

    last_hidden_state: Tensor
    pooler_output: Tensor


class ClipNetwork(nn.Module):
    """The two towers and their projections, with random weights.

    Args:
        config: As in ``config.json``; ``hidden_act`` is ``quick_gelu``, as OpenAI's is.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        text, vision = config.text_config, config.vision_config
        self.config = config
        self.text_model, self.vision_model = _TextTower(text), _VisionTower(vision)
        self.text_projection = nn.Linear(text.hidden_size, config.projection_dim, bias=False)
        self.visual_projection = nn.Linear(vision.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init_value))

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Features ``(B, D)`` of texts ``(B, L)``. Padding follows the end token, which looks left only."""
        features: Tensor = self.text_projection(self.text_model(input_ids).pooler_output)
        return features

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Features ``(B, D)`` of images ``(B, 3, H, W)``."""
        features: Tensor = self.visual_projection(self.vision_model(pixel_values).pooler_output)
        return features

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Let layers keep their inputs only while training, and compute the rest again for gradients."""
        for part in self.modules():
            if isinstance(part, _Layer):
                part.grad_checkpointing = enable


class _TextTower(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.eos_token_id = config, config.eos_token_id
        self.embeddings, self.encoder = _TextEmbeddings(config), _Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, input_ids: Tensor, position_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> States:
        if attention_mask is None:  # added to attention logits: each token sees those before it
            length = input_ids.shape[1]
            hidden = torch.full((length, length), float("-inf"), device=input_ids.device)
            attention_mask = hidden.triu(1).to(self.final_layer_norm.weight.dtype)[None, None]
        states = self.encoder(self.embeddings(input_ids, position_ids), attention_mask)
        states = self.final_layer_norm(states)
        ends = (input_ids == self.eos_token_id).int().argmax(dim=1)
        return States(states, states[torch.arange(len(states), device=states.device), ends])


class _TextEmbeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        embedded: Tensor = self.token_embedding(input_ids) + self.position_embedding(position_ids)
        return embedded


class _VisionTower(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embeddings, self.encoder = _PatchEmbeddings(config), _Encoder(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)  # spelled so
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor) -> States:
        states = self.encoder(self.pre_layrnorm(self.embeddings(pixel_values)), None)
        return States(states, self.post_layernorm(states[:, 0]))


class _PatchEmbeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, size = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, size, stride=size, bias=False)
        self.position_embedding = nn.Embedding((config.image_size // size) ** 2 + 1, width)

    def forward(self, pixel_values: Tensor) -> Tensor:
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class _Encoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layers:
            states = layer(states, mask)
        return states


class _Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(config), _Mlp(config)
        self.layer_norm1, self.layer_norm2 = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for _ in range(2)
        )
        self.grad_checkpointing = False

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if self.grad_checkpointing and self.training:
            found: Tensor = checkpoint(self._states, states, mask, use_reentrant=False)
            return found
        return self._states(states, mask)

    def _states(self, states: Tensor, mask: Tensor | None) -> Tensor:
        states = states + self.self_attn(self.layer_norm1(states), mask)
        found: Tensor = states + self.mlp(self.layer_norm2(states))
        return found


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.head_dim, self.dropout = width // config.num_attention_heads, config.attention_dropout
        self.scale = self.head_dim**-0.5
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        queries, keys, values = (
            part(states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )  # (B, H, L, W / H)
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=self.scale)
        found: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return found


class _Mlp(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        wide = self.fc1(states)
        found: Tensor = self.fc2(wide * torch.sigmoid(1.702 * wide))  # QuickGELU
        return found
