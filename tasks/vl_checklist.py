"""VL-CheckList: a caption with an object, attribute or relation, and one in which it is replaced."""

from clipbench.data import Dataset
from clipbench.task_types import ChoiceTask

VL_CHECKLIST = Dataset(
    name="vl_checklist",
    title="VL-CheckList",
    hub=None,
    layouts=("vl_checklist",),
    license="See the repository; images of Visual Genome, HAKE and SWiG under their own licenses.",
    citation="Zhao et al. 2022, VL-CheckList, EMNLP demonstrations, arXiv 2207.00221",
    references=("zhao2022vlchecklist",),
    homepage="https://github.com/om-ai-lab/VL-CheckList",
    instructions="give a clone of the repository, and ?images=FOLDER if vg/, hake/ and swig/ are in another FOLDER",
)


class VlChecklist(ChoiceTask):
    """One type of the 372,274 rows in 49 files; the breakdown is by file."""

    dataset = VL_CHECKLIST
    groups = ("vl_checklist",)
    tags = ("compositional", "table6")
    group_field = "collection"
    chance = 1 / 2


Object = VlChecklist.declare("vl_checklist_object", "Objects by place and size.", where={"part": "object"})
AttributeAction = VlChecklist.declare(
    "vl_checklist_attribute_action", "What a thing is doing.", where={"part": "attribute_action"}
)
AttributeColor = VlChecklist.declare("vl_checklist_attribute_color", "Colors.", where={"part": "attribute_color"})
AttributeMaterial = VlChecklist.declare(
    "vl_checklist_attribute_material", "Materials.", where={"part": "attribute_material"}
)
AttributeSize = VlChecklist.declare("vl_checklist_attribute_size", "Sizes.", where={"part": "attribute_size"})
AttributeState = VlChecklist.declare("vl_checklist_attribute_state", "States.", where={"part": "attribute_state"})
RelationAction = VlChecklist.declare(
    "vl_checklist_relation_action", "Who does what.", where={"part": "relation_action"}
)
RelationSpatial = VlChecklist.declare(
    "vl_checklist_relation_spatial", "What is where.", where={"part": "relation_spatial"}
)
