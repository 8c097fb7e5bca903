"""InpaintCOCO: pairs of a COCO photograph and the same photograph with one inpainted object, captioned."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import PairsTask

INPAINTCOCO = Dataset(
    name="inpaintcoco",
    title="InpaintCOCO",
    hub=HubTable(
        repo="phiyodr/InpaintCOCO",
        revision="main",
        split="test",
        images=("coco_image", "inpaint_image"),
        captions=("coco_caption", "inpaint_caption"),
        fields=("concept",),
    ),
    license="COCO val2017 photographs with licenses that allow adaptation; see the data card for each row's license.",
    citation="Rösch, Oswald, Geierhos, Libovický 2024, arXiv 2403.02875, §4",
    references=("rosch2024enhancing",),
    homepage="https://huggingface.co/datasets/phiyodr/InpaintCOCO",
    instructions="put the parquet files of phiyodr/InpaintCOCO into a folder",
)


class InpaintCoco(PairsTask):
    """Scored by Eq. (1). Some published captions are empty, or identical within a pair."""

    dataset = INPAINTCOCO
    groups = ("inpaintcoco",)
    tags = ("paper",)
    allow_invalid = True


class InpaintCocoObject(InpaintCoco):
    """An object became another object."""

    name = "inpaintcoco_object"
    where = {"concept": "object"}
    expected_n = 452


class InpaintCocoColor(InpaintCoco):
    """An object changed its color."""

    name = "inpaintcoco_color"
    where = {"concept": "color"}
    expected_n = 465


class InpaintCocoSize(InpaintCoco):
    """A large object became small, or the reverse."""

    name = "inpaintcoco_size"
    where = {"concept": "size"}
    expected_n = 343
