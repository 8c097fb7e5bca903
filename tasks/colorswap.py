"""ColorSwap: two images, and two captions that differ in which object has which color."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

COLORSWAP = Dataset(
    name="colorswap",
    title="ColorSwap",
    hub=HubTable(
        repo="stanfordnlp/colorswap",
        revision="main",
        split="test",
        images=("image_1", "image_2"),
        captions=("caption_1", "caption_2"),
    ),
    license="MIT; gated: accept the terms on the hub.",
    citation="Burapacheep et al. 2024, ColorSwap, ACL Findings, arXiv 2402.04492",
    references=("burapacheep2024colorswap",),
    homepage="https://huggingface.co/datasets/stanfordnlp/colorswap",
    instructions="put the parquet files of stanfordnlp/colorswap into a folder",
)


class ColorSwap(PairsTask):
    """300 pairs; the text, image and group scores are ``text_acc``, ``acc`` and ``group_acc``."""

    name = "colorswap"
    dataset = COLORSWAP
    expected_n = 300
    tags = ("compositional",)
