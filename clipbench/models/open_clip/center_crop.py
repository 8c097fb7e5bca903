"""open_clip's image transform, with a choice of where the center is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from clipbench.errors import ConfigError
from clipbench.models.spec import ModelSpec

CENTER_CROPS = ("open_clip", "transformers")


class TransformersCenterCrop:
    """A center crop placed as transformers places it: the odd pixel of a margin goes to the right or bottom.

    open_clip's (torchvision's) rounds half a pixel to the even number, one pixel off where the margin is 3, 7, 11, …:
    for 47 of 214 COCO photographs at 224 pixels.

    Args:
        size: Height and width to crop to; the image is at least that large.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        """Crop an image."""
        height, width = self._size
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))


def image_transform(config: Mapping[str, Any], center_crop: str) -> Any:
    """open_clip's own transform of an image to ``(3, H, W)``, with the center crop of either library.

    Args:
        config: The fields of open_clip's ``PreprocessCfg``.
        center_crop: ``open_clip``, as the checkpoint was trained and published, or ``transformers``, with which both
            formats of one model get equal pixels.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.transforms import CenterCrop

    transform = image_transform_v2(PreprocessCfg(**config), is_train=False)
    if center_crop == "transformers":
        transform.transforms = [
            TransformersCenterCrop(tuple(step.size)) if isinstance(step, CenterCrop) else step
            for step in transform.transforms
        ]
    return transform


def requested_crop(request: ModelSpec) -> str:
    """``center_crop``, or its short form ``crop``; ``native`` is the library's own.

    Raises:
        ConfigError: Both are given and differ, or there is no such crop.
    """
    given = [value for value in (request.text("center_crop"), request.text("crop")) if value]
    if len(set(given)) > 1:
        raise ConfigError(f"center_crop={given[0]} and crop={given[1]} are one argument: give it once")
    crop = "open_clip" if not given or given[0] == "native" else given[0]
    if crop not in CENTER_CROPS:
        raise ConfigError(f"center_crop={crop!r}: open_clip (the default, also called native) or transformers")
    return crop
