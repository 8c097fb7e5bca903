"""SugarCrepe: a photograph of COCO, its caption, and a fluent caption with one part added, replaced or swapped."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import ChoiceTask, Task

SUGARCREPE = Dataset(
    name="sugarcrepe",
    hub=HubTable(
        repo="mteb/SUGARCREPE_fmt",
        revision="e9e0e3ce40c94023c819d3413edb5d090ec9f0d8",
        split="train",
        images=("images",),
        captions=("caption",),
        false_captions=("negative_caption",),
        fields=("Negative_type",),
    ),
    layouts=("sugarcrepe",),
    license="MIT; photographs of COCO under their own Flickr licenses.",
    citation="Hsieh et al. 2023, SugarCrepe: Fixing Hackable Benchmarks, NeurIPS, arXiv 2306.14610",
    homepage="https://github.com/RAIVNLab/sugar-crepe",
    instructions="give the folder of add_att.json, … with ?images=COCO/val2017 where the photographs are elsewhere",
)


class SugarCrepe(ChoiceTask):
    """One of the seven parts; the means over add, replace and swap are groups."""

    dataset = SUGARCREPE
    tags = ("compositional",)
    chance = 1 / 2

    @classmethod
    def part(cls, part: str, expected_n: int, doc: str) -> type[Task]:
        """Declare a part."""
        groups = ("sugarcrepe", f"sugarcrepe_{part.partition('_')[0]}")
        where = {"Negative_type": part}
        return cls.declare(f"sugarcrepe_{part}", doc, where=where, expected_n=expected_n, groups=groups)


AddAttribute = SugarCrepe.part("add_att", 692, "An attribute was added.")
AddObject = SugarCrepe.part("add_obj", 2_062, "An object was added.")
ReplaceAttribute = SugarCrepe.part("replace_att", 788, "An attribute was replaced.")
ReplaceObject = SugarCrepe.part("replace_obj", 1_652, "An object was replaced.")
ReplaceRelation = SugarCrepe.part("replace_rel", 1_406, "A relation was replaced.")
SwapAttribute = SugarCrepe.part("swap_att", 666, "Two attributes were swapped.")
SwapObject = SugarCrepe.part("swap_obj", 245, "Two objects were swapped; 245 in the published file, 246 in the paper.")
