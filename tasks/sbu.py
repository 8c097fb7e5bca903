"""SBU Captioned Photos: four caption-ranking tasks over a million captions from Flickr."""

from clipbench.data import Dataset, TrainingSplit
from clipbench.task_types import RankingTask

SBU = Dataset(
    name="sbu",
    title="SBU",
    hub=None,
    layouts=("sbu",),
    license="Captions and links only; the photographs belong to their authors on Flickr.",
    citation="Ordonez, Kulkarni, Berg 2011, Im2Text: Describing Images Using 1 Million Captioned Photographs, NeurIPS",
    references=("ordonez2011im2text",),
    homepage="https://www.cs.rice.edu/~vo9/sbucaptions/",
    instructions=(
        "download the photographs next to sbu-captions-all.json (many links are dead; missing ones are counted),"
        " or give a hub dataset that has them: hub:OWNER/NAME"
    ),
    train=TrainingSplit(instructions="give the folder of a download"),
)


class SbuRanking(RankingTask):
    """One caption per photograph, written by its author."""

    dataset = SBU
    groups = ("sbu",)
    tags = ("paper",)


class SbuObject(SbuRanking):
    """80 object names."""

    name = "sbu_object"
    concept = "object"
    expected_n = 200_310


class SbuColor(SbuRanking):
    """Nine colors."""

    name = "sbu_color"
    concept = "color"
    expected_n = 162_652


class SbuLocation(SbuRanking):
    """Spatial relations and their opposites."""

    name = "sbu_location"
    concept = "location"
    expected_n = 159_673


class SbuSize(SbuRanking):
    """Sizes and their opposites."""

    name = "sbu_size"
    concept = "size"
    expected_n = 47_069
