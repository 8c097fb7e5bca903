"""The contract that every model keeps; evaluation and training both build on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from clipbench.errors import ConfigError
from clipbench.utils.text import text_problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from PIL import Image

    from clipbench.metrics import Floats

    Ints = npt.NDArray[np.int64]

TextBatching = Literal["packed", "trimmed", "padded"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of tokenized texts, on the CPU.

    Attributes:
        inputs: The text tower's inputs by name (``input_ids``, ``attention_mask``, …), each ``(B, L)``.
        truncated: For each text, whether it was longer than the model's context and was cut.
        lengths: For each text, how many tokens come before padding that can be cut off without changing the feature.
            None where padding is part of the model's input.
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


@dataclass(frozen=True, slots=True)
class PackedRow:
    """The prefix tree of some texts, as one sequence of T tokens in depth-first order.

    Attributes:
        ids: Token ids, ``(T,)``.
        positions: Each token's position in its text, which is its depth in the tree, ``(T,)``.
        subtree_ends: For each token, the index after its last descendant: ``j`` is seen by ``j, …, ends[j] - 1`` only.
        texts: Indices of the texts among those that were packed.
        ends: For each of these texts, the index of its end token.
    """

    ids: Ints
    positions: Ints
    subtree_ends: Ints
    texts: tuple[int, ...]
    ends: tuple[int, ...]


class PackedText(Protocol):
    """A text tower that encodes common beginnings of texts once; ``clipbench.models.packing`` has the idea."""

    def pack(self, tokens: Tokens) -> list[PackedRow]:
        """Arrange tokenized texts in rows that share common beginnings: the more texts, the more they share.

        A row takes about as long as one text of the full context. ``clipbench.models.packing.texts_of(rows)`` gives
        the order of the texts in the rows.
        """

    def features(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        """Encode a batch of rows.

        Returns:
            Features of the rows' texts, row after row, ``(sum of len(row.texts), D)``, un-normalized, differentiable:
            those of ``Model.text_features`` up to rounding.
        """


class FeatureLookup(Protocol):
    """Precomputed unit features, so that nothing is opened or encoded."""

    def image(self, key: str) -> Floats:
        """The unit feature ``(D,)`` of an image by its key. Raises ``DataError`` if there is none."""

    def texts(self, texts: Sequence[str]) -> Floats:
        """The unit features ``(M, D)`` of texts. Raises ``ModelError`` if one is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a result file says about a model.

    Attributes:
        library: ``transformers``, ``open_clip``, or a plugin's.
        library_version: Its version.
        architecture: The architecture's name, or the network's class.
        parameters: How many there are.
        revision: The commit on the hub.
        precision: Of the encoders, such as ``float32``.
        preprocessor: What turns images into pixels.
        activation: Activation function by tower, ``text`` and ``image``.
        context_length: Tokens a text can have.
        feature_dim: Dimensions of the shared space.
        text_cleaning: How texts are cleaned before they are tokenized, a name of
            ``clipbench.models.text_cleaning.CLEANINGS``, or ``native`` if it is left to the library.
        text_batching: How texts are batched, the fastest way that is exact for the model: ``packed`` rows that share
            common beginnings, ``trimmed`` to the longest text, or ``padded`` to the context.
        compiled: Whether the towers went through torch.compile.
        likelihood: How a language model scores a text: by the ``sum`` or ``mean`` of its tokens' log-likelihoods.
    """

    library: str
    library_version: str | None = None
    architecture: str | None = None
    parameters: int | None = None
    revision: str | None = None
    precision: str | None = None
    preprocessor: str | None = None
    activation: Mapping[str, str] | None = None
    context_length: int | None = None
    feature_dim: int | None = None
    text_cleaning: str | None = None
    text_batching: TextBatching = "padded"
    compiled: bool = False
    likelihood: str | None = None

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return asdict(self)


class Model(ABC):
    """A pair of encoders with features in one space.

    Attributes:
        id: The model as the user named it, for result files.
        device: Where the weights are.
        dtype: The weights' precision.
        compiled: Whether the towers went through torch.compile.
        packed_text: Encodes common beginnings of texts once; None where the model cannot.
        lookup: Features that were computed elsewhere; None if the model encodes.
        untrainable: Why the model cannot be fine-tuned and saved; None if it can.
        chosen: What was decided about the model that its name does not say, in a line; empty if nothing was.
        text_only: Whether it sees no image; its text features are then scores, ``(B, 1)``, compared as they are.
    """

    id: str
    device: torch.device
    dtype: torch.dtype
    compiled = False
    packed_text: PackedText | None = None
    lookup: FeatureLookup | None = None
    untrainable: str | None = None
    chosen: str = ""
    text_only = False

    @property
    def opens_images(self) -> bool:
        """Whether it needs the image files."""
        return not self.text_only and self.lookup is None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest over weights, preprocessing and tokenizer: equal means equal features.

        Empty where nothing vouches for the weights; then nothing is cached or resumed.
        """

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """What a result file says about the model."""

    @abstractmethod
    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Turn an RGB image into the image tower's input, ``(3, H, W)`` float32, on the CPU."""

    def resized(self, image: Image.Image) -> npt.NDArray[np.uint8] | None:
        """The image as ``preprocess`` resizes and crops it, ``(3, H, W)`` uint8, before it scales the values.

        None where that is not known. Who uses it must check that values follow from these bytes.
        """
        return None

    def add_logit_bias(self, value: float) -> None:
        """Give a model without one a trainable ``logit_bias`` (as SigLIP has), which ``save`` keeps.

        Raises:
            ModelError: It cannot hold one.
        """
        from clipbench.errors import ModelError

        raise ModelError(f"{self.id} has no logit bias, and cannot be given one")

    def collate(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put preprocessed images into a batch, ``(B, 3, H, W)``."""
        import torch

        return torch.stack(list(images))

    def text_problem(self, text: str) -> str | None:
        """Why the model cannot read a text, in one line; None if it can."""
        return text_problem(text)

    def use_language(self, language: str) -> str:
        """Set the language of the next texts, for tokenizers to which it makes a difference (NLLB's).

        Args:
            language: An ISO 639-1 code; empty for the model's own default.

        Returns:
            What features depend on: the language's code in the tokenizer; empty if it makes no difference.
        """
        return ""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Tokenize texts, cut to the context where they are longer."""

    @abstractmethod
    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode ``(B, 3, H, W)`` pixels from any device. Returns ``(B, D)``, un-normalized, differentiable."""

    def image_tower_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels up to the projection into the shared space: ``(B, W)``, differentiable.

        ``project_images`` of them are the image features. Where no projection is set apart, they are so already.
        """
        return self.image_features(pixels)

    def project_images(self, features: torch.Tensor) -> torch.Tensor:
        """Turn ``image_tower_features`` into image features, ``(B, D)``, differentiable."""
        return features

    def center_images(self, mean: torch.Tensor) -> None:
        """Let ``project_images`` subtract a fixed mean ``(W,)`` first from now on, in a saved checkpoint too.

        Raises:
            ConfigError: A checkpoint of this kind of model cannot hold it.
        """
        raise ConfigError(f"center_images: {self.id} cannot hold a mean of image features: pair its encoders to do so")

    def projection_parameters(self, side: Literal["image", "text"]) -> frozenset[str]:
        """Names of the parameters of a side's projection into the shared space; empty if none is set apart.

        A projection is the last layer, of which the tower is independent. Pooling by attention is a part of the tower.
        """
        return frozenset()

    @abstractmethod
    def text_features(self, tokens: Tokens) -> torch.Tensor:
        """Encode tokenized texts. Returns ``(B, D)``, un-normalized, differentiable."""

    @property
    @abstractmethod
    def logit_scale(self) -> torch.Tensor:
        """The factor on the cosine similarity in the contrastive loss (already exponentiated), a scalar."""

    @property
    @abstractmethod
    def module(self) -> torch.nn.Module:
        """The network itself, for training: parameters, train and eval mode."""

    @property
    def towers(self) -> Sequence[torch.nn.Module]:
        """The parts of the network that compute image and text features and can be compiled; empty if unknown."""
        return ()

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write a checkpoint that ``clipbench.load_model`` reads back with equal features."""
