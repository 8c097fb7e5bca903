"""SBU Captioned Photos: four concept rankings over a million captions from Flickr."""

from clipbench.data import Dataset
from clipbench.task_types import RankingTask

SBU = Dataset(
    name="sbu",
    hub=None,
    layouts=("sbu",),
    license="Captions and links only; the photographs belong to their authors on Flickr.",
    citation="Ordonez, Kulkarni, Berg 2011, Im2Text: Describing Images Using 1 Million Captioned Photographs, NeurIPS",
    homepage="https://www.cs.rice.edu/~vo9/sbucaptions/",
    instructions=(
        "download the photographs (many links are dead: what is missing is counted) beside sbu-captions-all.json,"
        " or name a hub dataset that has them: --data sbu=hub:OWNER/NAME"
    ),
)


class SbuRanking(RankingTask):
    """One caption a photograph, as its author wrote it."""

    dataset = SBU
    groups = ("sbu", "ranking", "paper")


class SbuObject(SbuRanking):
    """80 object names."""

    name = "sbu_object"
    concept = "object"
    chance = 1 / 80
    expected_n = 200_310
    tags = ("object",)


class SbuColor(SbuRanking):
    """Nine colors."""

    name = "sbu_color"
    concept = "color"
    chance = 1 / 9
    expected_n = 162_652
    tags = ("color",)


class SbuLocation(SbuRanking):
    """Relations in space and their opposites."""

    name = "sbu_location"
    concept = "location"
    chance = 1 / 2
    expected_n = 159_673
    tags = ("location",)


class SbuSize(SbuRanking):
    """Sizes and their opposites."""

    name = "sbu_size"
    concept = "size"
    chance = 1 / 2
    expected_n = 47_069
    tags = ("size",)
