"""BiVLC: SugarCrepe's captions, with an image for each false one."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

BIVLC = Dataset(
    name="bivlc",
    title="BiVLC",
    hub=HubTable(
        repo="imirandam/BiVLC",
        revision="main",
        split="test",
        images=("image", "negative_image"),
        captions=("caption", "negative_caption"),
        fields=("type", "subtype"),
    ),
    license="MIT; photographs of COCO under their own Flickr licenses.",
    citation="Miranda et al. 2024, BiVLC, NeurIPS, arXiv 2406.09952",
    references=("miranda2024bivlc",),
    homepage="https://huggingface.co/datasets/imirandam/BiVLC",
    instructions="put the parquet files of imirandam/BiVLC into a folder",
)


class BiVLC(PairsTask):
    """``text_acc`` is what its authors call I2T, ``acc`` T2I, ``group_acc`` the group score."""

    name = "bivlc"
    dataset = BIVLC
    expected_n = 2_933
    group_field = "type"
    tags = ("compositional",)
