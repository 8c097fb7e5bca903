"""Scenes: small versions of the paper's tasks on a synthetic dataset that needs no download."""

from clipbench.data import Dataset, TrainingSplit
from clipbench.task_types import PairsTask, RankingTask, RetrievalTask

_LICENSE = "Made by clipbench; no rights reserved."
PICTURES = Dataset(
    name="scenes",
    title="Scenes",
    hub=None,
    generator="clipbench.scenes.source:open_pictures",
    layouts=("coco",),
    license=_LICENSE,
    train=TrainingSplit(),
)
EDITS = Dataset(
    name="scenes_inpaint",
    title="Scenes inpaint",
    hub=None,
    generator="clipbench.scenes.source:open_edits",
    license=_LICENSE,
)


class ScenesRanking(RankingTask):
    """Captions of 1,000 drawn pictures, five each."""

    dataset = PICTURES
    tags = ("scenes",)


class ScenesObject(ScenesRanking):
    """80 object names, 20 of which are drawn; only every tenth picture, to save time."""

    name = "scenes_object"
    concept = "object"
    where = {"tenth": 0}
    expected_n = 500


class ScenesColor(ScenesRanking):
    """Nine colors."""

    name = "scenes_color"
    concept = "color"
    expected_n = 2_257


class ScenesLocation(ScenesRanking):
    """Spatial relations and their opposites."""

    name = "scenes_location"
    concept = "location"
    expected_n = 1_181


class ScenesSize(ScenesRanking):
    """Sizes and their opposites."""

    name = "scenes_size"
    concept = "size"
    expected_n = 1_506


class ScenesInpaint(PairsTask):
    """The same picture before and after one object was changed, scored by Eq. (1)."""

    dataset = EDITS
    tags = ("scenes",)
    expected_n = 300


class ScenesInpaintObject(ScenesInpaint):
    """An object became another object."""

    name = "scenes_inpaint_object"
    where = {"concept": "object"}


class ScenesInpaintColor(ScenesInpaint):
    """An object changed its color."""

    name = "scenes_inpaint_color"
    where = {"concept": "color"}


class ScenesInpaintSize(ScenesInpaint):
    """A large object became small, or the reverse."""

    name = "scenes_inpaint_size"
    where = {"concept": "size"}


class ScenesRetrieval(RetrievalTask):
    """1,000 pictures against their 5,000 captions, in both directions."""

    name = "scenes_retrieval"
    dataset = PICTURES
    chance = 5 / 1_000
    expected_n = 1_000
    tags = ("scenes",)
