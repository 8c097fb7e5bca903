"""Flickr8k: four caption-ranking tasks and retrieval on the 1,000 test photographs, with five captions each."""

from clipbench.data import Dataset, HubTable, TrainingSplit
from clipbench.task_types import RankingTask, RetrievalTask

_CAPTIONS = ("caption_0", "caption_1", "caption_2", "caption_3", "caption_4")

FLICKR8K = Dataset(
    name="flickr8k",
    hub=HubTable(repo="jxie/flickr8k", revision="main", split="test", images=("image",), captions=_CAPTIONS),
    layouts=("flickr8k",),
    license="Photographs for non-commercial research and education only, under Flickr's terms.",
    citation="Hodosh, Young, Hockenmaier 2013, Framing Image Description as a Ranking Task, JAIR",
    homepage="https://doi.org/10.1613/jair.3994",
    instructions="put Flickr8k.token.txt and Flickr_8k.*Images.txt next to the folder Images",
    train=TrainingSplit(
        hub=HubTable(repo="jxie/flickr8k", revision="main", split="train", images=("image",), captions=_CAPTIONS),
        instructions="put Flickr8k.token.txt and Flickr_8k.trainImages.txt next to the folder Images",
    ),
)


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
