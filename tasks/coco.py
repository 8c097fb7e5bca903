"""COCO 2017 validation: four caption-ranking tasks, and retrieval over the whole split."""

from clipbench.data import Dataset, HubTable, TrainingSplit
from clipbench.task_types import RankingTask, RetrievalTask

_SKIPPED_SIZES = ("tiny",)  # the paper does not look for it in COCO, in training or in evaluation

COCO = Dataset(
    name="coco",
    title="COCO",
    hub=HubTable(
        repo="lmms-lab/COCO-Caption2017",
        revision="main",
        split="val",
        images=("image",),
        captions=("answer",),
    ),
    layouts=("coco",),
    license="Captions CC BY 4.0; photographs under their own Flickr licenses.",
    citation="Lin et al. 2014, Microsoft COCO: Common Objects in Context; Chen et al. 2015, arXiv 1504.00325",
    references=("lin2014microsoft", "chen2015microsoft"),
    homepage="https://cocodataset.org",
    instructions="unpack val2017.zip and annotations_trainval2017.zip into the same folder",
    train=TrainingSplit(
        hub=HubTable(
            repo="AKCIT/coco2017-captioning",
            revision="main",
            split="train",
            images=("image",),
            captions=("captions",),
        ),
        instructions="unpack train2017.zip and annotations_trainval2017.zip into the same folder",
        skip_keywords={"size": _SKIPPED_SIZES},
    ),
)


class CocoRanking(RankingTask):
    """The 25,014 captions of the 5,000 photographs of COCO val2017."""

    dataset = COCO
    groups = ("coco",)
    tags = ("paper",)


class CocoObject(CocoRanking):
    """80 object names."""

    name = "coco_object"
    concept = "object"
    expected_n = 12_907


class CocoColor(CocoRanking):
    """Nine colors."""

    name = "coco_color"
    concept = "color"
    expected_n = 3_907


class CocoLocation(CocoRanking):
    """Spatial relations and their opposites."""

    name = "coco_location"
    concept = "location"
    expected_n = 2_527


class CocoSize(CocoRanking):
    """Sizes and their opposites; the paper skips `tiny` on COCO."""

    name = "coco_size"
    concept = "size"
    skip_keywords = _SKIPPED_SIZES
    expected_n = 2_601


class CocoRetrieval(RetrievalTask):
    """5,000 photographs against 25,014 captions, in both directions."""

    name = "coco_retrieval"
    dataset = COCO
    chance = 5 / 5_000
    expected_n = 5_000


class CocoRetrievalFirst(RetrievalTask):
    """The same with the first caption of each photograph, which gives the paper's .53 (§5.3, Table 7: Recall@5)."""

    name = "coco_retrieval_first"
    dataset = COCO
    captions = "first"
    chance = 5 / 5_000
    expected_n = 5_000
    tags = ("paper",)
