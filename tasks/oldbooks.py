"""Old Book Illustrations: scanned engravings with their captions; object, location and size ranking."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import RankingTask

OLDBOOKS = Dataset(
    name="oldbooks",
    title="Old Books",
    hub=HubTable(
        repo="gigant/oldbookillustrations",
        revision="main",
        split="train",
        images=("1600px",),
        captions=("image_caption",),
    ),
    license="Illustrations in the public domain; texts of oldbookillustrations.com, see the data card.",
    citation="oldbookillustrations.com; gigant/oldbookillustrations on the Hugging Face hub",
    references=("oldbookillustrations",),
    homepage="https://huggingface.co/datasets/gigant/oldbookillustrations",
    instructions="put the parquet files of gigant/oldbookillustrations into a folder",
)


class OldBooksRanking(RankingTask):
    """One caption per illustration."""

    dataset = OLDBOOKS
    groups = ("oldbooks",)
    tags = ("paper",)
    note = (
        "The paper does not say which text column it used. If the number of samples is not the expected one, try the"
        " location 'hub:gigant/oldbookillustrations?captions=image_title' (or image_description, info_alt)."
    )


class OldBooksObject(OldBooksRanking):
    """80 object names."""

    name = "oldbooks_object"
    concept = "object"
    expected_n = 124


class OldBooksLocation(OldBooksRanking):
    """Spatial relations and their opposites."""

    name = "oldbooks_location"
    concept = "location"
    expected_n = 95


class OldBooksSize(OldBooksRanking):
    """Sizes and their opposites."""

    name = "oldbooks_size"
    concept = "size"
    expected_n = 82
