"""What'sUp: where is it? Controlled photographs of two objects, and spatial captions of COCO and Visual Genome."""

from collections.abc import Mapping
from typing import ClassVar

from clipbench.data import Dataset
from clipbench.task_types import ChoiceTask

WHATSUP = Dataset(
    name="whatsup",
    title="What'sUp",
    hub=None,
    layouts=("whatsup",),
    license="MIT; photographs of COCO and Visual Genome under their own licenses.",
    citation="Kamath et al. 2023, What's 'up' with vision-language models?, EMNLP, arXiv 2310.19785",
    references=("kamath2023whats",),
    homepage="https://github.com/amitakamath/whatsup_vlms",
    instructions="put the six JSON files next to controlled_images, controlled_clevr, val2017 and vg_images",
)


class WhatsUp(ChoiceTask):
    """Captions that differ only in the preposition."""

    dataset = WHATSUP
    groups = ("whatsup",)
    tags = ("compositional",)


class Controlled(WhatsUp):
    """Four images per set: ``pair_acc`` requires both images of an opposite pair to be right, ``set_acc`` all four."""

    metrics = ("acc", "pair_acc", "set_acc")
    joint_metrics: ClassVar[Mapping[str, str]] = {"pair_acc": "group", "set_acc": "cluster"}
    group_field = "axis"
    chance = 1 / 4


A = Controlled.declare("whatsup_a", "Left, right, on or under.", where={"part": "a"}, expected_n=412)
B = Controlled.declare("whatsup_b", "Left, right, in front or behind.", where={"part": "b"}, expected_n=408)
CocoOne = WhatsUp.declare(
    "whatsup_coco_one", "Where in a photograph of COCO.", where={"part": "coco_one"}, expected_n=2_247, chance=1 / 2
)
CocoTwo = WhatsUp.declare(
    "whatsup_coco_two", "Two things in COCO.", where={"part": "coco_two"}, expected_n=440, chance=1 / 2
)
VgOne = WhatsUp.declare(
    "whatsup_vg_one", "Where in Visual Genome.", where={"part": "vg_one"}, expected_n=1_160, chance=1 / 2
)
VgTwo = WhatsUp.declare(
    "whatsup_vg_two", "Two things in Visual Genome.", where={"part": "vg_two"}, expected_n=291, chance=1 / 2
)
