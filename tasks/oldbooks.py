"""Old Book Illustrations: scanned engravings with their captions; object, location and size ranking."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import RankingTask

OLDBOOKS = Dataset(
    name="oldbooks",
    hub=HubTable(
        repo="gigant/oldbookillustrations",
        revision="main",
        split="train",
        images=("1600px",),
        captions=("image_caption",),
    ),
    license="Illustrations in the public domain; texts of oldbookillustrations.com, see the data card.",
    citation="oldbookillustrations.com; gigant/oldbookillustrations on the Hugging Face hub",
    homepage="https://huggingface.co/datasets/gigant/oldbookillustrations",
    instructions="put the parquet files of gigant/oldbookillustrations into a folder",
)


class OldBooksRanking(RankingTask):
    """One caption an illustration."""

    dataset = OLDBOOKS
    groups = ("oldbooks", "ranking", "paper")
    note = (
        "The paper does not say which text column it took. If the number of samples is not the expected one, try"
        " --data 'oldbooks=hub:gigant/oldbookillustrations?captions=image_title' (or image_description, info_alt)."
    )


class OldBooksObject(OldBooksRanking):
    """80 object names."""

    name = "oldbooks_object"
    concept = "object"
    chance = 1 / 80
    expected_n = 124
    tags = ("object",)


class OldBooksLocation(OldBooksRanking):
    """Relations in space and their opposites."""

    name = "oldbooks_location"
    concept = "location"
    chance = 1 / 2
    expected_n = 95
    tags = ("location",)


class OldBooksSize(OldBooksRanking):
    """Sizes and their opposites."""

    name = "oldbooks_size"
    concept = "size"
    chance = 1 / 2
    expected_n = 82
    tags = ("size",)
