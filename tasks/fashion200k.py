"""Fashion200K: product photographs and their descriptions; object and color ranking."""

from clipbench.data import Dataset, HubTable, TrainingSplit
from clipbench.task_types import RankingTask

FASHION200K = Dataset(
    name="fashion200k",
    title="Fashion200K",
    hub=HubTable(
        repo="Marqo/fashion200k",
        revision="b9d0e6c9c14337620e442c93f40f7906942fe893",
        split="data",
        images=("image",),
        captions=("text",),
    ),
    layouts=("fashion200k",),
    license="For research only; the photographs belong to the online shops.",
    citation="Han et al. 2017, Automatic Spatially-aware Fashion Concept Discovery, ICCV, arXiv 1708.01311",
    references=("han2017automatic",),
    homepage="https://github.com/xthan/fashion-200k",
    instructions="unpack the images (women/…) and labels/*_detect_all.txt into the same folder",
    train=TrainingSplit(instructions="give the folder that holds labels/"),
)


class Fashion200kRanking(RankingTask):
    """One description per photograph."""

    dataset = FASHION200K
    groups = ("fashion200k",)
    tags = ("paper",)


class Fashion200kObject(Fashion200kRanking):
    """80 object names, few of which are clothing."""

    name = "fashion200k_object"
    concept = "object"
    expected_n = 3_628


class Fashion200kColor(Fashion200kRanking):
    """Nine colors."""

    name = "fashion200k_color"
    concept = "color"
    expected_n = 141_413
