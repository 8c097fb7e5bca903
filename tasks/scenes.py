"""The embedded world: drawn pictures that need no download, for the paper's tasks in small."""

from clipbench.data import Dataset
from clipbench.task_types import PairsTask, RankingTask, RetrievalTask

PICTURES = Dataset(
    name="scenes",
    hub=None,
    generator="clipbench.scenes.source:open_pictures",
    layouts=("coco",),
    license="Made by clipbench; no rights reserved.",
)
EDITS = Dataset(
    name="scenes_inpaint",
    hub=None,
    generator="clipbench.scenes.source:open_edits",
    license="Made by clipbench; no rights reserved.",
)


class ScenesRanking(RankingTask):
    """Captions of 1,000 drawn pictures, five each."""

    dataset = PICTURES
    groups = ("scenes",)


class ScenesObject(ScenesRanking):
    """80 object names, of which the world draws 20; every tenth picture, to keep it quick."""

    name = "scenes_object"
    concept = "object"
    where = {"tenth": 0}
    chance = 1 / 80
    expected_n = 500
    tags = ("object",)


class ScenesColor(ScenesRanking):
    """Nine colors."""

    name = "scenes_color"
    concept = "color"
    chance = 1 / 9
    expected_n = 2_257
    tags = ("color",)


class ScenesLocation(ScenesRanking):
    """Relations in space and their opposites."""

    name = "scenes_location"
    concept = "location"
    chance = 1 / 2
    expected_n = 1_181
    tags = ("location",)


class ScenesSize(ScenesRanking):
    """Sizes and their opposites."""

    name = "scenes_size"
    concept = "size"
    chance = 1 / 2
    expected_n = 1_506
    tags = ("size",)


class ScenesInpaint(PairsTask):
    """The very same picture before and after one thing was changed, judged by Eq. (1)."""

    dataset = EDITS
    groups = ("scenes",)
    expected_n = 300


class ScenesInpaintObject(ScenesInpaint):
    """Something became something else."""

    name = "scenes_inpaint_object"
    where = {"concept": "object"}
    tags = ("object", "pairs")


class ScenesInpaintColor(ScenesInpaint):
    """Something changed its color."""

    name = "scenes_inpaint_color"
    where = {"concept": "color"}
    tags = ("color", "pairs")


class ScenesInpaintSize(ScenesInpaint):
    """Something large became small, or the other way round."""

    name = "scenes_inpaint_size"
    where = {"concept": "size"}
    tags = ("size", "pairs")


class ScenesRetrieval(RetrievalTask):
    """1,000 pictures against their 5,000 captions, both ways."""

    name = "scenes_retrieval"
    dataset = PICTURES
    chance = 5 / 1_000
    expected_n = 1_000
    groups = ("scenes",)
    tags = ("retrieval",)
