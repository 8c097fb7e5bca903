"""Masks by a text, with a model of transformers: CLIPSeg, SAM 3, and zero-shot detectors refined by GrabCut."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from clipbench.annotate.grabcut import grab_cut, opencv
from clipbench.annotate.masks import Mask, box_mask
from clipbench.annotate.tool_names import check_tool
from clipbench.errors import ClipbenchError, ConfigError, DataError, ModelError
from clipbench.models import checks
from clipbench.models.load_errors import explain
from clipbench.types import ImageRef
from clipbench.utils.hub import cache_if_unreached

_THRESHOLD: Final = {"pixels": 0.4, "instances": 0.5, "boxes": 0.2}
_LONGEST_PROMPT: Final = {"instances": 32}  # tokens; SAM's processor has it fixed
_LIMIT_OF_A_BOX: Final = 0.98  # of the picture: GrabCut needs some background


class TextSegmenter:
    """Finds what a text names, with CLIPSeg, SAM 3, or a zero-shot detector (OWL-ViT, Grounding DINO, …).

    CLIPSeg gives a probability for every pixel. Of SAM's masks and a detector's boxes the surest one is taken; GrabCut
    finds the object in a box.

    Args:
        name: Hub id or folder. Only safetensors are read, and no code is run.
        device: As in an evaluation.
        dtype: As in an evaluation.
        revision: Of a hub repository.
        threshold: Probability from which a pixel (CLIPSeg, 0.4), a mask (SAM, 0.5) or a box (0.2) counts.

    Raises:
        ConfigError: Device, dtype or threshold are invalid.
        UnknownName: `name` is no hub id and no folder.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        threshold: float | None = None,
    ) -> None:
        check_tool("segmenter", name, ("scenes", "outlines"), "model", revision)
        if threshold is not None and not 0 < threshold < 1:
            raise ConfigError(f"threshold of a segmenter is a probability between 0 and 1, not {threshold}")
        self.name = name
        self._device = checks.resolve_device(device)
        self._dtype = checks.resolve_dtype(dtype)
        self._revision, self._threshold = revision, threshold
        self._network: Any = None
        self._processor: Any = None
        self._kind = ""

    def details(self) -> dict[str, object]:
        threshold = self._threshold if self._threshold is not None else _THRESHOLD.get(self._kind)
        return {
            "segmenter": self.name,
            "revision": getattr(getattr(self._network, "config", None), "_commit_hash", None) or self._revision,
            "threshold": threshold,
            "dtype": checks.dtype_name(self._dtype),
        }

    def segment(self, image: Image.Image, prompt: str, source: ImageRef | None = None) -> Mask:
        if not prompt.strip():
            raise DataError("the masking prompt is empty: name the object")
        if self._network is None:
            self._load()
        self._check_length(prompt)
        threshold = self._threshold if self._threshold is not None else _THRESHOLD[self._kind]
        find: dict[str, Callable[[Image.Image, str, float], Mask | None]] = {
            "pixels": self._by_pixels,
            "instances": self._by_instances,
            "boxes": self._by_boxes,
        }
        mask = find[self._kind](image.convert("RGB"), prompt.strip(), threshold)
        if mask is None or not mask.any():
            raise DataError(
                f"{self.name} sees no {prompt[:60]!r} with a probability of {threshold:g}: "
                "try another masking prompt, a lower threshold, a box or the brush"
            )
        return mask

    def _load(self) -> None:
        from transformers import AutoConfig, AutoProcessor

        options: dict[str, Any] = {"revision": self._revision}
        with cache_if_unreached(not Path(self.name).exists()), checks.quiet():
            try:
                load_config: Any = AutoConfig.from_pretrained
                config = load_config(self.name, **options)
                self._kind, network = _network_class(self.name, config.model_type)
                if self._kind == "boxes":
                    opencv()  # fail now, not after loading
                module, found = network.from_pretrained(
                    self.name, **options, dtype=self._dtype, use_safetensors=True, output_loading_info=True
                )
                checks.check_keys(self.name, missing=found["missing_keys"], unexpected=())
                checks.check_finite(self.name, module.state_dict())
                load_processor: Any = AutoProcessor.from_pretrained
                self._processor = load_processor(self.name, **options)
                self._network = module.to(self._device).eval()
            except ClipbenchError:
                raise
            except Exception as error:  # transformers and the hub client raise what they like
                raise explain(error, self.name) from error

    def _check_length(self, prompt: str) -> None:
        tokenizer = getattr(self._processor, "tokenizer", None)
        most = min(getattr(tokenizer, "model_max_length", 512), _LONGEST_PROMPT.get(self._kind, 512))
        with checks.quiet():
            length = 0 if tokenizer is None else len(tokenizer(prompt).input_ids)
        if length > most:
            raise DataError(
                f"the masking prompt has {length} tokens and {self.name} reads {most}: name the object alone"
            )

    def _outputs(self, image: Image.Image, text: Any) -> tuple[Any, Any]:
        """What the network says, and what it was given."""
        options: dict[str, Any] = {"text": text, "images": [image], "return_tensors": "pt"}
        if self._kind != "instances":  # SAM's processor pads by itself
            options["padding"] = "max_length" if self._network.config.model_type.startswith("owl") else True
        inputs = self._processor(**options).to(self._device)
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                inputs[name] = value.to(self._dtype)
        with torch.inference_mode():
            return self._network(**inputs), inputs

    def _by_pixels(self, image: Image.Image, prompt: str, threshold: float) -> Mask:
        outputs, _ = self._outputs(image, [prompt])
        logits = outputs.logits.float()
        probabilities = torch.sigmoid(logits.reshape(-1, *logits.shape[-2:])[0]).cpu().numpy()  # (h, w)
        self._finite(probabilities)
        scaled = Image.fromarray(probabilities).resize(image.size, Image.Resampling.BILINEAR)
        return np.asarray(np.asarray(scaled) >= threshold)

    def _by_instances(self, image: Image.Image, prompt: str, threshold: float) -> Mask | None:
        outputs, _ = self._outputs(image, [prompt])
        found = self._processor.post_process_instance_segmentation(
            outputs, threshold=threshold, target_sizes=[(image.height, image.width)]
        )[0]
        if not len(found["scores"]):
            return None
        best = int(found["scores"].float().argmax())
        return np.asarray(found["masks"][best].cpu()).astype(bool)

    def _by_boxes(self, image: Image.Image, prompt: str, threshold: float) -> Mask | None:
        outputs, inputs = self._outputs(image, [[prompt.rstrip(".").lower()]])
        known = {
            "outputs": outputs,
            "threshold": threshold,
            "text_threshold": threshold,
            "target_sizes": [(image.height, image.width)],
            "text_labels": [[prompt]],
            "input_ids": inputs.get("input_ids"),
        }
        read = self._processor.post_process_grounded_object_detection
        accepted = inspect.signature(read).parameters
        found = read(**{name: value for name, value in known.items() if name in accepted})[0]
        if not len(found["scores"]):
            return None
        best = int(found["scores"].float().argmax())
        box = [float(number) for number in found["boxes"][best].tolist()]
        self._finite(np.asarray(box))
        whole = box_mask(image.size, (box[0], box[1], box[2], box[3]))
        if whole.mean() > _LIMIT_OF_A_BOX:
            raise DataError(f"{self.name} sees {prompt[:60]!r} all over the picture: draw a box, or use the brush")
        return grab_cut(image, box=(box[0], box[1], box[2], box[3])) if whole.any() else None

    def _finite(self, numbers: Any) -> None:
        if not np.isfinite(numbers).all():
            raise ModelError(f"{self.name} computes NaN in {checks.dtype_name(self._dtype)}: use dtype float32")


def _network_class(name: str, model_type: str) -> tuple[str, Any]:
    """How a kind of model says where things are (pixels, instances or boxes), and its class."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES as DETECTORS

    if model_type == "clipseg":
        return "pixels", transformers.CLIPSegForImageSegmentation
    if model_type in ("sam3", "sam3_lite_text") and hasattr(transformers, "Sam3Model"):
        return "instances", transformers.AutoModel if model_type != "sam3" else transformers.Sam3Model
    if model_type in DETECTORS:
        return "boxes", transformers.AutoModelForZeroShotObjectDetection
    raise ModelError(
        f"{name} is a {model_type}, which does not find objects by a text: choose CLIPSeg, SAM 3, or one of "
        f"{', '.join(sorted(DETECTORS))}"
    )
