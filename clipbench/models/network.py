"""What all models around a torch network share, whatever library they come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from clipbench.errors import ModelError
from clipbench.models import checks, packing, probes
from clipbench.models.base import Model, PackedText, TextBatching, Tokens
from clipbench.models.fingerprint import Fingerprint
from clipbench.models.saving import checkpoint_directory
from clipbench.utils.text import may_be_nothing


class NetworkModel(Model):
    """A model around a torch network. Subclasses say how their library tokenizes, encodes and saves.

    Args:
        module: The network; it is put into evaluation mode.
        id: The model as the user named it.
        dtype: The precision it computes in; some parameters may be kept in float32.
        context_length: Tokens a text can have.

    Raises:
        ModelError: Features of the two sides do not live in one space.
    """

    def __init__(self, module: Any, *, id: str, dtype: torch.dtype, context_length: int) -> None:
        self.id = id
        self.dtype = dtype
        self.device = next(module.parameters()).device
        self.context_length = context_length
        self._module = module.eval()
        self._trims = False
        self._reads_class_token = False  # of the last block of the image tower, see ``last_block.py``
        self._fingerprint = Fingerprint(module, self._settings)
        self._probe()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint.hex()

    @property
    def module(self) -> torch.nn.Module:
        network: torch.nn.Module = self._module
        return network

    @property
    def text_batching(self) -> TextBatching:
        """The fastest way to batch texts that is exact for the model."""
        return "packed" if self.packed_text else "trimmed" if self._trims else "padded"

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        return self._tokenize(texts, trim=self._trims)

    def text_problem(self, text: str) -> str | None:
        # A text is also unreadable if its tokens are those of the empty one.
        problem = super().text_problem(text)
        if problem is None and may_be_nothing(text):
            read, nothing = self.tokenize([text]).inputs, self.tokenize([""]).inputs
            if all(read[name].equal(nothing[name]) for name in read):
                problem = "the tokenizer finds nothing in the caption"
        return problem

    def projection_parameters(self, side: Literal["image", "text"]) -> frozenset[str]:
        paths = self._projections()[side]
        everywhere = self.module.named_parameters(remove_duplicate=False)
        found = {id(weight) for name, weight in everywhere if any(f"{name}.".startswith(f"{path}.") for path in paths)}
        return frozenset(name for name, weight in self.module.named_parameters() if id(weight) in found)

    def add_logit_bias(self, value: float) -> None:
        self._module.logit_bias = torch.nn.Parameter(torch.tensor(value, device=self.device))

    def save(self, directory: Path) -> None:
        if self.untrainable:
            raise ModelError(f"{self.id} cannot be saved to {directory}: {self.untrainable}")
        with checkpoint_directory(directory) as part, checks.quiet():
            self._write(part)

    @torch.no_grad()
    def _probe(self) -> None:
        """Encode a few texts and an image: the two sides must fit, and trimming and packing change nothing."""
        padded = self.text_features(self._tokenize(probes.TEXTS, trim=False))
        image = self.image_features(self.preprocess(probes.gray_image())[None])
        if padded.ndim != 2 or padded.shape[1:] != image.shape[1:]:
            raise ModelError(
                f"{self.id}: text features {tuple(padded.shape)} and image features {tuple(image.shape)} "
                f"do not live in one space: {type(self._module).__name__} is not a CLIP-like model"
            )
        self.feature_dim = padded.shape[1]
        self._reads_class_token = self._may_read_class_token() and self._reads_class_token_exactly()
        if self._may_trim():
            singly = [self.text_features(self._tokenize([text], trim=True)) for text in probes.TEXTS]
            difference = checks.largest_difference(padded, torch.cat(singly))
            self._trims = difference <= checks.trimming_tolerance(self.dtype)
        packed_text = self._packed_text() if self._trims else None
        if packed_text is not None and packing.packs_exactly(self, packed_text):
            self.packed_text = packed_text

    def _reads_class_token_exactly(self) -> bool:
        pixels = self.preprocess(probes.noise_image(*probes.NOISE_SIZES[1]))[None]
        whole = self.image_features(pixels)
        self._reads_class_token = True
        try:
            return checks.largest_difference(whole, self.image_features(pixels)) <= checks.trimming_tolerance(
                self.dtype
            )
        except checks.UNLIKE_ITS_KIND:
            return False

    @abstractmethod
    def _tokenize(self, texts: Sequence[str], *, trim: bool) -> Tokens:
        """Tokenize texts, padded to the longest of them or to the context."""

    @abstractmethod
    def _projections(self) -> Mapping[str, Sequence[str]]:
        """Names of the modules or parameters that are a side's projection, for ``image`` and ``text``."""

    @abstractmethod
    def _may_trim(self) -> bool:
        """Whether padding may be cut off, as far as the architecture tells; it is tried."""

    def _may_read_class_token(self) -> bool:
        """Whether image features are made of the class token's last state, as far as the architecture tells."""
        return False

    @abstractmethod
    def _packed_text(self) -> PackedText | None:
        """What encodes packed texts, where the architecture may allow it; it is tried."""

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """All that features depend on except weights, for the fingerprint."""

    @abstractmethod
    def _write(self, directory: Path) -> None:
        """Write weights, configuration, tokenizer and preprocessing to an empty directory."""


def input_of(part: torch.nn.Module, run: Callable[[], object]) -> torch.Tensor:
    """What ``part`` is called with while ``run()`` runs, which calls it once."""
    seen: list[torch.Tensor] = []
    hook = part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        run()
    finally:
        hook.remove()
    (features,) = seen
    return features
