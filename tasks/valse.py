"""VALSE: a caption and a foil, in eleven pieces; only rows that annotators accepted."""

from clipbench.data import Dataset
from clipbench.task_types import ChoiceTask

VALSE = Dataset(
    name="valse",
    title="VALSE",
    hub=None,
    layouts=("valse",),
    license="MIT; images of COCO, Visual7W, VisDial, SWiG and FOIL under their own licenses.",
    citation="Parcalabescu et al. 2022, VALSE, ACL, arXiv 2112.07566",
    references=("parcalabescu2022valse",),
    homepage="https://github.com/Heidelberg-NLP/VALSE",
    instructions="give the folder with existence.json, …, and ?images=FOLDER if the images are below another FOLDER",
)
_VALID = {"valid": True}


class Valse(ChoiceTask):
    """Only rows whose caption at least two of three annotators chose."""

    dataset = VALSE
    groups = ("valse",)
    tags = ("compositional",)
    chance = 1 / 2


Existence = Valse.declare("valse_existence", "Is there any?", where={"part": "existence", **_VALID}, expected_n=505)
Plurals = Valse.declare("valse_plurals", "One or several?", where={"part": "plurals", **_VALID}, expected_n=851)
CountingHard = Valse.declare(
    "valse_counting_hard", "How many, balanced numbers.", where={"part": "counting-hard", **_VALID}, expected_n=868
)
CountingSmallQuant = Valse.declare(
    "valse_counting_small_quant",
    "How many, up to three.",
    where={"part": "counting-small-quant", **_VALID},
    expected_n=900,
)
CountingAdversarial = Valse.declare(
    "valse_counting_adversarial",
    "How many, where the false number is the more frequent one.",
    where={"part": "counting-adversarial", **_VALID},
    expected_n=691,
)
Relations = Valse.declare("valse_relations", "Prepositions.", where={"part": "relations", **_VALID}, expected_n=535)
ActionReplacement = Valse.declare(
    "valse_action_replacement", "Another action.", where={"part": "action-replacement", **_VALID}, expected_n=648
)
ActantSwap = Valse.declare(
    "valse_actant_swap", "Agent and patient swapped.", where={"part": "actant-swap", **_VALID}, expected_n=949
)
CoreferenceStandard = Valse.declare(
    "valse_coreference_standard", "Yes or no.", where={"part": "coreference-standard", **_VALID}, expected_n=708
)
CoreferenceHard = Valse.declare(
    "valse_coreference_hard", "Yes or no, cleaned.", where={"part": "coreference-hard", **_VALID}, expected_n=104
)
FoilIt = Valse.declare("valse_foil_it", "Another noun.", where={"part": "foil-it", **_VALID}, expected_n=943)
