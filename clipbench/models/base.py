"""The contract that every model adapter keeps; evaluation and training both stand on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.errors import ModelError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from clipbench.models.packing import PackedRow


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of tokenised texts, on the CPU.

    Attributes:
        inputs: The text tower's inputs by name (``input_ids``, ``attention_mask``, …), each ``(B, L)``.
        truncated: For each text, whether it was longer than the model's context and was cut.
        lengths: For each text, how many tokens stand before padding that may be cut off: the feature stays the same.
            None where the model is to see the padding.
    """

    inputs: Mapping[str, torch.Tensor]
    truncated: tuple[bool, ...]
    lengths: tuple[int, ...] | None = None

    def part(self, texts: Sequence[int]) -> Tokens:
        """Some of the texts by index, padded to the longest of them."""
        lengths = None if self.lengths is None else tuple(self.lengths[index] for index in texts)
        inputs = {name: tensor[list(texts)] for name, tensor in self.inputs.items()}
        if lengths is not None:
            inputs = {name: tensor[:, : max(lengths)] for name, tensor in inputs.items()}
        return Tokens(inputs, tuple(self.truncated[index] for index in texts), lengths)


class Model(ABC):
    """A pair of encoders whose features live in one space.

    Attributes:
        id: The model as the user named it, for result files.
        device: Where the weights are.
        dtype: The weights' precision.
        compiled: Its towers went through torch.compile.
    """

    compiled = False
    id: str
    device: torch.device
    dtype: torch.dtype

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest over weights, preprocessing and tokenizer: equal means equal features."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, object]:
        """What a result file says of the model.

        Library, architecture, parameters, revision, precision, preprocessor, activation, context length, text path
        (``packed``, ``trimmed`` or ``padded``: the best of what is exact for it).
        """

    @abstractmethod
    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Turn an RGB image into the image tower's input, ``(3, H, W)`` float32, on the CPU."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Tokenise texts, cut to the context where they are longer."""

    @abstractmethod
    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode ``(B, 3, H, W)`` pixels from any device. Returns ``(B, D)``, un-normalised, differentiable."""

    @abstractmethod
    def text_features(self, tokens: Tokens) -> torch.Tensor:
        """Encode tokenised texts. Returns ``(B, D)``, un-normalised, differentiable."""

    @property
    def packs(self) -> bool:
        """Whether texts can be packed, so that common beginnings are encoded once; see :meth:`pack`."""
        return False

    def pack(self, tokens: Tokens) -> list[PackedRow]:
        """Arrange tokenised texts in rows that share common beginnings: the more texts, the more they share.

        A row takes about as long as one text of the full context. Text features are the same, in another order:
        ``clipbench.models.packing.texts_of(rows)`` says which is whose.

        Raises:
            ModelError: The model does not pack.
        """
        raise ModelError(f"{self.id} does not pack texts: use text_features")

    def packed_text_features(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        """Encode rows of :meth:`pack`, a batch of them.

        Returns:
            Features of the rows' texts, row after row, ``(sum of len(row.texts), D)``, un-normalised, differentiable:
            those of :meth:`text_features` up to rounding.

        Raises:
            ModelError: The model does not pack.
        """
        raise ModelError(f"{self.id} does not pack texts: use text_features")

    @property
    @abstractmethod
    def logit_scale(self) -> torch.Tensor:
        """The factor on cosine_similarity in the contrastive loss (already exponentiated), a scalar."""

    @property
    @abstractmethod
    def module(self) -> torch.nn.Module:
        """The network itself, for training: parameters, train and eval mode."""

    @property
    def towers(self) -> Sequence[torch.nn.Module]:
        """The parts of the network that compute image and text features, where they can be compiled; else none."""
        return ()

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write a checkpoint that :func:`clipbench.load_model` reads back with equal features."""
