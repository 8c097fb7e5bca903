"""Causal language models that score a text by its likelihood and see no image: a well-read blind baseline.

Such a model can solve a benchmark whose true texts are the likelier ones; its score is a floor for models that see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clipbench.errors import ClipbenchError, ConfigError, ModelError
from clipbench.models import checks, packing, probes
from clipbench.models.base import ModelInfo, PackedRow, PackedText, Tokens
from clipbench.models.fingerprint import tokenizer_settings
from clipbench.models.hf import VOLATILE, context_length_of, without
from clipbench.models.hf_loading import check_json, load_network, load_tokenizer, one_source
from clipbench.models.load_errors import explain
from clipbench.models.network import NetworkModel
from clipbench.models.plain_text import plain_tokenizer
from clipbench.models.spec import ModelSpec
from clipbench.models.versions import require_tested
from clipbench.utils.hub import cache_if_unreached

SCORES = ("sum", "mean")
_ROW = 128  # tokens of a packed row: attention within it costs their square
_LOGITS = 1 << 26  # that are in memory at once, on a CPU; four times as many elsewhere
_FILES = "config.json, model.safetensors and the tokenizer files"


def load(request: ModelSpec) -> LanguageModel:
    """Load a causal language model of transformers, by hub id or local directory.

    ``score=sum`` (the default) is the log-likelihood of the whole text, ``score=mean`` its mean per token.

    Raises:
        ModelError: It cannot be found, read or used, or is not a causal language model.
        ConfigError: An argument is invalid.
    """
    from transformers import AutoModelForCausalLM

    request.only("pretrained", "score")
    one_source(request, "pretrained")
    source, score = request.source or request.text("pretrained"), request.text("score") or "sum"
    if not source:
        raise ConfigError(f"{request.id}: name a language model: text_only:gpt2, or model_args pretrained=gpt2")
    if score not in SCORES:
        raise ConfigError(f"{request.id}: score={score}: give {' or '.join(SCORES)}")
    require_tested("transformers")
    device, dtype = checks.resolve_device(request.device), checks.resolve_dtype(request.dtype)
    with cache_if_unreached(not Path(source).exists()), checks.quiet():
        try:
            config = _config(source, request)
            module = load_network(AutoModelForCausalLM, source, config, request, dtype)
            checks.check_finite(request.id, module.state_dict())
            tokenizer = load_tokenizer(source, request)
            return LanguageModel(module.to(device), tokenizer, id=request.id, score=score)
        except ClipbenchError:
            raise
        except Exception as error:  # transformers, the hub client and safetensors raise what they like
            raise explain(error, source, files=_FILES) from error


class LanguageModel(NetworkModel):
    """A causal language model. A text's only feature is its log-likelihood; images are not opened.

    A text is preceded by the start token; its end is not scored.

    Args:
        module: A loaded ``…ForCausalLM``.
        tokenizer: Its tokenizer.
        id: The model as the user named it.
        score: ``sum`` over tokens, or their ``mean``.

    Raises:
        ModelError: It does not predict from left to right, or has no start token.
    """

    text_only = True
    untrainable = "a language model has no image encoder"

    def __init__(self, module: Any, tokenizer: Any, *, id: str, score: str = "sum") -> None:
        self.tokenizer, self.score = tokenizer, score
        self._reader = plain_tokenizer(tokenizer)
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if start is None:
            raise ModelError(f"{id}: its tokenizer has no token that begins or ends a text")
        self._start = int(start)
        context_length = context_length_of(module.config.get_text_config(), tokenizer)
        super().__init__(module, id=id, dtype=next(module.parameters()).dtype, context_length=context_length)

    @property
    def info(self) -> ModelInfo:
        import transformers

        return ModelInfo(
            library="transformers",
            library_version=transformers.__version__,
            architecture=type(self._module).__name__,
            parameters=sum(parameter.numel() for parameter in self._module.parameters()),
            revision=getattr(self._module.config, "_commit_hash", None),
            precision=checks.dtype_name(self.dtype),
            context_length=self.context_length,
            feature_dim=1,
            text_cleaning="none",
            text_batching=self.text_batching,
            likelihood=self.score,
        )

    @property
    def logit_scale(self) -> torch.Tensor:
        return torch.ones((), device=self.device)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Nothing of the image, ``(1,)``."""
        return torch.zeros(1)

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Ones, ``(B, 1)``: all images are alike."""
        return torch.ones(len(pixels), 1, device=self.device)

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        """Log-likelihoods, ``(B, 1)`` float64; NaN for a text without tokens."""
        lengths = torch.tensor(tokens.lengths)
        ids = tokens.inputs["input_ids"]
        found = [
            self._likelihoods(ids[part].to(self.device), lengths[part].to(self.device))
            for part in self._parts(len(ids), ids.shape[1])
        ]
        return torch.cat(found)[:, None]

    def _likelihoods(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Log-likelihoods ``(B,)`` of texts ``(B, L)``, padded on the right, which a causal model does not see."""
        logits = self._logits(input_ids=ids, attention_mask=torch.ones_like(ids))[:, :-1]
        following = ids[:, 1:]
        logs = logits.gather(2, following[..., None]).squeeze(2) - logits.logsumexp(2)  # (B, L - 1)
        inside = torch.arange(following.shape[1], device=ids.device) < lengths[:, None] - 1
        return self.scored(logs.double().masked_fill(~inside, 0).sum(1), lengths - 1)

    def scored(self, likelihoods: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The scores ``(N,)`` of texts from their log-likelihoods and numbers of tokens."""
        return torch.where(lengths > 0, likelihoods / (lengths if self.score == "mean" else 1), torch.nan)

    def _logits(self, **inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._module(**inputs, use_cache=False).logits
        return logits.float()

    def _parts(self, rows: int, tokens: int) -> Iterator[slice]:
        """Rows that are computed at once, because a logit per token and vocabulary entry takes much memory."""
        most = _LOGITS * (1 if self.device.type == "cpu" else 4)
        step = max(1, most // (max(1, tokens) * int(self._module.config.get_text_config().vocab_size)))
        yield from (slice(start, start + step) for start in range(0, rows, step))

    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        encoded = self._reader(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        rows = [[self._start, *ids][: self.context_length] for ids in encoded]
        padded = torch.zeros(len(rows), max(map(len, rows), default=1), dtype=torch.int64)
        for row, ids in zip(padded, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        truncated = tuple(1 + len(ids) > self.context_length for ids in encoded)
        return Tokens({"input_ids": padded}, truncated, tuple(map(len, rows)))

    @torch.no_grad()
    def _probe(self) -> None:
        """Check that the model only looks left, and whether packing leaves features unchanged."""
        self.feature_dim, self._trims = 1, True
        ids = self._tokenize(probes.TEXTS[-1:], trim=True).inputs["input_ids"].to(self.device)
        other = torch.cat([ids[:, :-1], ids[:, :1]], dim=1)
        one, two = (self._logits(input_ids=each, attention_mask=torch.ones_like(each))[:, :-1] for each in (ids, other))
        if _relative_difference(one, two) > checks.trimming_tolerance(self.dtype):
            raise ModelError(f"{self.id}: {type(self._module).__name__} does not predict texts from left to right")
        packed = self._packed_text()
        if packed is not None and packing.packs_exactly(self, packed, _relative_difference):
            self.packed_text = packed

    def _projections(self) -> dict[str, tuple[str, ...]]:
        return {"image": (), "text": ()}

    def _may_trim(self) -> bool:
        return True

    def _packed_text(self) -> PackedText | None:
        # Other implementations of attention do not take custom masks.
        return _PackedText(self) if self._module.config._attn_implementation in ("eager", "sdpa") else None

    def _settings(self) -> dict[str, object]:
        return {
            "architecture": type(self._module).__name__,
            "config": without(self._module.config.to_dict(), VOLATILE),
            "tokenizer": tokenizer_settings(self.tokenizer),
            "text_cleaning": "none",
            "context_length": self.context_length,
            "start": self._start,
            "score": self.score,
        }

    def _write(self, directory: Path) -> None:
        raise NotImplementedError(self.untrainable)


class _PackedText(PackedText):
    """Texts as prefix trees: the likelihood of a text is that of the tokens on its path from the root."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def pack(self, tokens: Tokens) -> list[PackedRow]:
        lengths = torch.tensor(tokens.lengths or (), dtype=torch.int64).numpy()
        width = min(self._model.context_length, max(_ROW, int(lengths.max(initial=1))))
        return packing.pack(tokens.inputs["input_ids"].numpy(), lengths - 1, width)

    def features(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        width = max(len(row.ids) for row in rows)
        found = [self._likelihoods(rows[part]) for part in self._model._parts(len(rows), width)]
        return torch.cat(found)[:, None]

    def _likelihoods(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        model = self._model
        batch = packing.collate(rows, model.device, model.dtype)
        logits = model._logits(
            input_ids=batch.input_ids, attention_mask=batch.mask, position_ids=batch.position_ids
        )  # (B, W, V)
        depths = batch.position_ids
        sees = batch.mask[:, 0] == 0  # (B, W, W): a token, and those on its path from the root
        parents = (sees & (depths[:, None, :] == depths[:, :, None] - 1)).int().argmax(2)  # (B, W)
        rows_of = torch.arange(len(rows), device=model.device)[:, None]
        logs = logits[rows_of, parents, batch.input_ids] - logits.logsumexp(2).gather(1, parents)
        logs = logs.double().masked_fill(depths == 0, 0)
        paths = sees[batch.rows, batch.ends]  # (N, W)
        likelihoods = (paths * logs[batch.rows]).sum(1)
        return model.scored(likelihoods, depths[batch.rows, batch.ends])


def _relative_difference(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(((left - right).abs() / left.abs().clamp(min=1)).max())


def _config(source: str, request: ModelSpec) -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    check_json(source)
    config = AutoConfig.from_pretrained(source, revision=request.revision, trust_remote_code=request.trust_remote_code)
    remote = request.trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if not remote and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"{source} is a {config.model_type} model, not a causal language model as GPT-2 is")
    return config
