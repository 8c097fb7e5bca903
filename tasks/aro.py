"""ARO: does a model know who does what to whom, which attribute belongs to which object, and the order of words?"""

from dataclasses import replace

from clipbench.data import Dataset, HubTable
from clipbench.task_types import ChoiceTask

ARO = Dataset(
    name="aro",
    title="ARO",
    hub=None,
    layouts=("aro",),
    license="MIT; photographs of Visual Genome, COCO and Flickr30k under their own licenses.",
    citation="Yuksekgonul et al. 2023, When and Why VLMs Behave like Bags-of-Words, ICLR, arXiv 2210.01936",
    references=("yuksekgonul2023when",),
    homepage="https://github.com/mertyg/vision-language-models-are-bows",
    instructions="put visual_genome_relation.json and visual_genome_attribution.json next to the folder images",
)
_VG = HubTable("", "", "test", ("image",), ("true_caption",), ("relation_name", "attributes"))
_VG = replace(_VG, false_captions=("false_caption",))
_RELATION = replace(_VG, repo="mteb/ARO-Visual-Relation", revision="53c1115ab5871ab33b09d5bb8856236d46bdaf2d")
_ATTRIBUTION = replace(_VG, repo="mteb/ARO-Visual-Attribution", revision="25fe9b460426ff67cdb0608a737c94f8f49a901e")
_ORDER = HubTable("", "", "test", ("images",), ("correct_caption",))
_ORDER = replace(_ORDER, false_captions=tuple(f"hard_text_{number}" for number in (1, 2, 3, 4)))
_COCO = replace(_ORDER, repo="mteb/ARO-COCO-order", revision="53c20afc02a87fed8c0245dde2e00f054da4b861")
_FLICKR = replace(_ORDER, repo="mteb/ARO-Flickr-Order", revision="e5d7f3502345b2c398a6645b4d09b44e650287bf")
_SHUFFLES = replace(ARO, layouts=(), instructions="put the parquet files of the hub's copy into a folder")


class Aro(ChoiceTask):
    """The true caption against false ones; a row in which a shuffle changes nothing is invalid."""

    groups = ("aro",)
    tags = ("compositional", "table6")
    allow_invalid = True
    chance = 1 / 2


_MACRO = {"metrics": ("acc", "acc_macro"), "balanced_metrics": {"acc_macro": "acc"}}
VgRelation = Aro.declare(
    "aro_vg_relation", "Who does what to whom; ``acc_macro`` is the mean over relations.", **_MACRO,
    dataset=replace(ARO, hub=replace(_RELATION, constants=(("part", "vg_relation"),))),
    where={"part": "vg_relation"}, group_field="relation_name", expected_n=23_937,
)  # fmt: skip
VgAttribution = Aro.declare(
    "aro_vg_attribution", "Which object has which attribute; ``acc_macro`` is the mean over attribute pairs.", **_MACRO,
    dataset=replace(ARO, hub=replace(_ATTRIBUTION, constants=(("part", "vg_attribution"),))),
    where={"part": "vg_attribution"}, group_field="attributes", expected_n=28_748,
)  # fmt: skip
CocoOrder = Aro.declare(
    "aro_coco_order", "Captions of COCO against four shuffles each.", chance=1 / 5, expected_n=25_010,
    dataset=replace(_SHUFFLES, name="aro_coco_order", title="ARO COCO order", hub=_COCO),
)  # fmt: skip
FlickrOrder = Aro.declare(
    "aro_flickr_order", "Captions of Flickr30k against four shuffles each.", chance=1 / 5, expected_n=5_000,
    dataset=replace(_SHUFFLES, name="aro_flickr_order", title="ARO Flickr order", hub=_FLICKR),
)  # fmt: skip
