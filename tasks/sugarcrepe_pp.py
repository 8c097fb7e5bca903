"""SugarCrepe++: a photograph of COCO, two differently worded captions, and a false one; both true ones must win."""

from clipbench.data import Dataset
from clipbench.task_types import ChoiceTask

SUGARCREPE_PP = Dataset(
    name="sugarcrepe_pp",
    title="SugarCrepe++",
    hub=None,
    layouts=("sugarcrepe_pp",),
    license="CC BY 4.0; photographs of COCO under their own Flickr licenses.",
    citation="Dumpala et al. 2024, SUGARCREPE++, NeurIPS, arXiv 2406.11171",
    references=("dumpala2024sugarcrepepp",),
    homepage="https://huggingface.co/datasets/Aman-J/SugarCrepe_pp",
    instructions=(
        "download the captions with `hf download Aman-J/SugarCrepe_pp --repo-type dataset --revision"
        " dea2a1b6f9e1069c609f676aa55ec61e9b65fb61 --local-dir FOLDER` and give FOLDER?images=COCO/val2017"
    ),
)


class SugarCrepePP(ChoiceTask):
    """Three published rows are invalid, because captions in them are identical."""

    dataset = SUGARCREPE_PP
    groups = ("sugarcrepe_pp",)
    tags = ("compositional",)
    chance = 1 / 3
    allow_invalid = True


SwapObject = SugarCrepePP.declare(
    "sugarcrepe_pp_swap_object", "Two objects swapped.", where={"part": "swap_obj"}, expected_n=245
)
SwapAttribute = SugarCrepePP.declare(
    "sugarcrepe_pp_swap_attribute", "Two attributes swapped.", where={"part": "swap_att"}, expected_n=666
)
ReplaceObject = SugarCrepePP.declare(
    "sugarcrepe_pp_replace_object", "Another object.", where={"part": "replace_obj"}, expected_n=1_652
)
ReplaceAttribute = SugarCrepePP.declare(
    "sugarcrepe_pp_replace_attribute", "Another attribute.", where={"part": "replace_att"}, expected_n=788
)
ReplaceRelation = SugarCrepePP.declare(
    "sugarcrepe_pp_replace_relation", "Another relation.", where={"part": "replace_rel"}, expected_n=1_406
)
