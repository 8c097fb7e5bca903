"""Flickr30k: four caption-ranking tasks over 31,014 photographs with five captions each."""

from clipbench.data import Dataset, HubTable, TrainingSplit
from clipbench.task_types import RankingTask

FLICKR30K = Dataset(
    name="flickr30k",
    title="Flickr30k",
    hub=HubTable(
        repo="phiyodr/flickr30k_long",
        revision="main",
        split="test",
        images=("image",),
        captions=("caption",),
    ),
    layouts=("flickr30k",),
    license="Photographs for non-commercial research and education only, under Flickr's terms.",
    citation="Young, Lai, Hodosh, Hockenmaier 2014, From image descriptions to visual denotations, TACL",
    references=("young2014image",),
    homepage="https://shannon.cs.illinois.edu/DenotationGraph/",
    instructions="put results_20130124.token or dataset_flickr30k.json next to the folder flickr30k-images",
    train=TrainingSplit(instructions="give the folder that holds flickr30k-images"),
)


class Flickr30kRanking(RankingTask):
    """Captions of Karpathy's split, all parts."""

    dataset = FLICKR30K
    groups = ("flickr30k",)
    tags = ("paper",)


class Flickr30kObject(Flickr30kRanking):
    """80 object names."""

    name = "flickr30k_object"
    concept = "object"
    expected_n = 30_926


class Flickr30kColor(Flickr30kRanking):
    """Nine colors."""

    name = "flickr30k_color"
    concept = "color"
    expected_n = 45_003


class Flickr30kLocation(Flickr30kRanking):
    """Spatial relations and their opposites."""

    name = "flickr30k_location"
    concept = "location"
    expected_n = 20_097


class Flickr30kSize(Flickr30kRanking):
    """Sizes and their opposites."""

    name = "flickr30k_size"
    concept = "size"
    expected_n = 14_853
