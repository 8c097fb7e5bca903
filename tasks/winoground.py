"""Winoground: two photographs, and two captions with the same words in different order."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

WINOGROUND = Dataset(
    name="winoground",
    title="Winoground",
    hub=HubTable(
        repo="facebook/winoground",
        revision="b400e173549071916ad1b3d449293bc8d8b4b763",
        split="test",
        images=("image_0", "image_1"),
        captions=("caption_0", "caption_1"),
        fields=("tag",),
    ),
    layouts=("winoground",),
    license="META IMAGES RESEARCH LICENSE: gated, for research only; accept the terms on the hub.",
    citation="Thrush et al. 2022, Winoground, CVPR, arXiv 2204.03162",
    references=("thrush2022winoground",),
    homepage="https://huggingface.co/datasets/facebook/winoground",
    instructions="put examples.jsonl next to the folder images with ex_0_img_0.png, …",
)


class Winoground(PairsTask):
    """400 pairs; the text, image and group scores are ``text_acc``, ``acc`` and ``group_acc``."""

    name = "winoground"
    dataset = WINOGROUND
    expected_n = 400
    group_field = "tag"
    tags = ("compositional", "table6")
