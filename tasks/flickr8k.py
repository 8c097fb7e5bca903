"""Flickr8k: four caption-ranking tasks and retrieval, on the test split and on the dev split.

Both have 1,000 photographs with five captions each. Rates, steps and methods are chosen on the dev split, so that the
test split is left to measure what was chosen.

``expected_n`` of the test split was counted in the published ``Flickr8k.token.txt`` and ``Flickr_8k.testImages.txt``.
The dev split's number of photographs is that of the hub's copy; how many of its captions have a keyword is
unknown, for want of the complete split.
"""

from dataclasses import replace

from clipbench.data import Dataset, HubTable, TrainingSplit
from clipbench.task_types import RankingTask, RetrievalTask

_HUB = HubTable(
    repo="jxie/flickr8k",
    revision="56f58c967835f7c508d684f36bd7897cca9d7634",
    split="test",
    images=("image",),
    captions=("caption_0", "caption_1", "caption_2", "caption_3", "caption_4"),
)
_FILES = (
    "put Flickr8k.token.txt, or captions.txt from Kaggle, and Flickr_8k.{split}Images.txt next to the folder Images"
)

FLICKR8K = Dataset(
    name="flickr8k",
    title="Flickr8k",
    hub=_HUB,
    layouts=("flickr8k", "karpathy"),
    license="Photographs for non-commercial research and education only, under Flickr's terms.",
    citation="Hodosh, Young, Hockenmaier 2013, Framing Image Description as a Ranking Task, JAIR",
    references=("hodosh2013framing",),
    homepage="https://doi.org/10.1613/jair.3994",
    instructions=_FILES.format(split="*"),
    train=TrainingSplit(hub=replace(_HUB, split="train"), instructions=_FILES.format(split="train")),
)
FLICKR8K_DEV = replace(FLICKR8K, title="Flickr8k dev", hub=replace(_HUB, split="validation"))


class Flickr8kRanking(RankingTask):
    """The 5,000 captions of the test photographs."""

    dataset = FLICKR8K
    groups = ("flickr8k",)


class Flickr8kObject(Flickr8kRanking):
    """80 object names, more than half of them `dog`."""

    name = "flickr8k_object"
    concept = "object"
    expected_n = 1_480


class Flickr8kColor(Flickr8kRanking):
    """Nine colors."""

    name = "flickr8k_color"
    concept = "color"
    expected_n = 1_622


class Flickr8kLocation(Flickr8kRanking):
    """Spatial relations and their opposites."""

    name = "flickr8k_location"
    concept = "location"
    expected_n = 636


class Flickr8kSize(Flickr8kRanking):
    """Sizes and their opposites."""

    name = "flickr8k_size"
    concept = "size"
    expected_n = 602


class Flickr8kRetrieval(RetrievalTask):
    """1,000 photographs against 5,000 captions, in both directions."""

    name = "flickr8k_retrieval"
    dataset = FLICKR8K
    chance = 5 / 1_000
    expected_n = 1_000


class Flickr8kRetrievalFirst(RetrievalTask):
    """The same with the first caption of each photograph."""

    name = "flickr8k_retrieval_first"
    dataset = FLICKR8K
    captions = "first"
    chance = 5 / 1_000
    expected_n = 1_000


class Flickr8kDevRanking(RankingTask):
    """The 5,000 captions of the dev photographs."""

    dataset = FLICKR8K_DEV
    groups = ("flickr8k_dev",)


class Flickr8kDevObject(Flickr8kDevRanking):
    """80 object names."""

    name = "flickr8k_dev_object"
    concept = "object"


class Flickr8kDevColor(Flickr8kDevRanking):
    """Nine colors."""

    name = "flickr8k_dev_color"
    concept = "color"


class Flickr8kDevLocation(Flickr8kDevRanking):
    """Spatial relations and their opposites."""

    name = "flickr8k_dev_location"
    concept = "location"


class Flickr8kDevSize(Flickr8kDevRanking):
    """Sizes and their opposites."""

    name = "flickr8k_dev_size"
    concept = "size"


class Flickr8kDevRetrieval(RetrievalTask):
    """1,000 photographs against 5,000 captions, in both directions."""

    name = "flickr8k_dev_retrieval"
    dataset = FLICKR8K_DEV
    chance = 5 / 1_000
    expected_n = 1_000


class Flickr8kDevRetrievalFirst(RetrievalTask):
    """The same with the first caption of each photograph."""

    name = "flickr8k_dev_retrieval_first"
    dataset = FLICKR8K_DEV
    captions = "first"
    chance = 5 / 1_000
    expected_n = 1_000
