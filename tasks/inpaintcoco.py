"""InpaintCOCO: a COCO photograph, the same photograph with one object repainted, a caption for each."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

INPAINTCOCO = Dataset(
    name="inpaintcoco",
    hub=HubTable(
        repo="phiyodr/InpaintCOCO",
        revision="main",
        split="test",
        images=("coco_image", "inpaint_image"),
        captions=("coco_caption", "inpaint_caption"),
        fields=("concept",),
    ),
    license="Photographs from COCO val2017 whose license allows adaptation; see the data card for each row's.",
    citation="Rösch, Oswald, Geierhos, Libovický 2024, arXiv 2403.02875, §4",
    homepage="https://huggingface.co/datasets/phiyodr/InpaintCOCO",
    instructions="put the parquet files of phiyodr/InpaintCOCO into a folder",
)


class InpaintCoco(PairsTask):
    """Scored by Eq. (1). Some captions of the published data are empty, or equal within their pair."""

    dataset = INPAINTCOCO
    groups = ("inpaintcoco",)
    tags = ("paper",)
    allow_invalid = True


class InpaintCocoObject(InpaintCoco):
    """Something became something else."""

    name = "inpaintcoco_object"
    where = {"concept": "object"}
    expected_n = 452


class InpaintCocoColor(InpaintCoco):
    """Something changed its color."""

    name = "inpaintcoco_color"
    where = {"concept": "color"}
    expected_n = 465


class InpaintCocoSize(InpaintCoco):
    """Something large became small, or the reverse."""

    name = "inpaintcoco_size"
    where = {"concept": "size"}
    expected_n = 343
