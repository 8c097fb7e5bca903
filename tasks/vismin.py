"""VisMin: two images that differ in one object, attribute, number or relation, with a caption each."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

VISMIN = Dataset(
    name="vismin",
    title="VisMin",
    hub=HubTable(
        repo="mair-lab/vismin-bench",
        revision="main",
        split="test",
        images=("image_0", "image_1"),
        captions=("text_0", "text_1"),
        fields=("category",),
    ),
    license="CC BY 4.0; photographs of COCO under their own Flickr licenses.",
    citation="Awal et al. 2024, VisMin: Visual Minimal-Change Understanding, NeurIPS, arXiv 2407.16772",
    references=("awal2024vismin",),
    homepage="https://huggingface.co/datasets/mair-lab/vismin-bench",
    instructions="put the parquet files of mair-lab/vismin-bench into a folder",
)


class VisMin(PairsTask):
    """2,084 pairs of four kinds."""

    name = "vismin"
    dataset = VISMIN
    expected_n = 2_084
    group_field = "category"
    tags = ("compositional",)
