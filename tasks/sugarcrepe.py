"""SugarCrepe: a photograph of COCO, its caption, and a fluent caption with one part added, replaced or swapped."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import ChoiceTask

_PART = "Negative_type"  # the hub copy's column

SUGARCREPE = Dataset(
    name="sugarcrepe",
    title="SugarCrepe",
    hub=HubTable(
        repo="mteb/SUGARCREPE_fmt",
        revision="e9e0e3ce40c94023c819d3413edb5d090ec9f0d8",
        split="train",
        images=("images",),
        captions=("caption",),
        false_captions=("negative_caption",),
        fields=(_PART,),
    ),
    layouts=("sugarcrepe",),
    license="MIT; photographs of COCO under their own Flickr licenses.",
    citation="Hsieh et al. 2023, SugarCrepe: Fixing Hackable Benchmarks, NeurIPS, arXiv 2306.14610",
    references=("hsieh2023sugarcrepe",),
    homepage="https://github.com/RAIVNLab/sugar-crepe",
    instructions="give the folder with add_att.json, …, and ?images=COCO/val2017 if the photographs are elsewhere",
)


class SugarCrepe(ChoiceTask):
    """One of the seven parts; the means over add, replace and swap are groups."""

    dataset = SUGARCREPE
    tags = ("compositional",)
    chance = 1 / 2


_ADD, _REPLACE, _SWAP = (("sugarcrepe", f"sugarcrepe_{change}") for change in ("add", "replace", "swap"))

AddAttribute = SugarCrepe.declare(
    "sugarcrepe_add_att", "An attribute was added.", where={_PART: "add_att"}, expected_n=692, groups=_ADD
)
AddObject = SugarCrepe.declare(
    "sugarcrepe_add_obj", "An object was added.", where={_PART: "add_obj"}, expected_n=2_062, groups=_ADD
)
ReplaceAttribute = SugarCrepe.declare(
    "sugarcrepe_replace_att", "Another attribute.", where={_PART: "replace_att"}, expected_n=788, groups=_REPLACE
)
ReplaceObject = SugarCrepe.declare(
    "sugarcrepe_replace_obj", "Another object.", where={_PART: "replace_obj"}, expected_n=1_652, groups=_REPLACE
)
ReplaceRelation = SugarCrepe.declare(
    "sugarcrepe_replace_rel", "Another relation.", where={_PART: "replace_rel"}, expected_n=1_406, groups=_REPLACE
)
SwapAttribute = SugarCrepe.declare(
    "sugarcrepe_swap_att", "Two attributes swapped.", where={_PART: "swap_att"}, expected_n=666, groups=_SWAP
)
# The authors report 246 rows and publish 245.
SwapObject = SugarCrepe.declare(
    "sugarcrepe_swap_obj", "Two objects swapped.", where={_PART: "swap_obj"}, expected_n=245, groups=_SWAP
)
