"""Retrieval on Karpathy's test splits of COCO and Flickr30k, as is usually reported."""

from clipbench.data import Dataset
from clipbench.task_types import RetrievalTask

COCO_KARPATHY = Dataset(
    name="coco_karpathy",
    title="COCO Karpathy",
    hub=None,
    layouts=("karpathy",),
    license="Captions CC BY 4.0; photographs under their own Flickr licenses.",
    citation="Lin et al. 2014, Microsoft COCO; Karpathy and Li 2015, Deep Visual-Semantic Alignments, CVPR",
    references=("lin2014microsoft", "karpathy2015deep"),
    homepage="https://cs.stanford.edu/people/karpathy/deepimagesent/",
    instructions="put dataset_coco.json next to the folder val2014, or give FOLDER?images=COCO",
)
FLICKR30K_KARPATHY = Dataset(
    name="flickr30k_karpathy",
    title="Flickr30k Karpathy",
    hub=None,
    layouts=("karpathy",),
    license="Photographs for non-commercial research and education only, under Flickr's terms.",
    citation="Young et al. 2014, From image descriptions to visual denotations, TACL; Karpathy and Li 2015, CVPR",
    references=("young2014image", "karpathy2015deep"),
    homepage="https://cs.stanford.edu/people/karpathy/deepimagesent/",
    instructions="put dataset_flickr30k.json next to the folder flickr30k-images",
)


class CocoKarpathy(RetrievalTask):
    """5,000 photographs of val2014 with their first five captions."""

    name = "coco_karpathy"
    dataset = COCO_KARPATHY
    captions = 5
    chance = 5 / 5_000
    expected_n = 5_000


class Flickr30kKarpathy(RetrievalTask):
    """1,000 photographs with five captions each."""

    name = "flickr30k_karpathy"
    dataset = FLICKR30K_KARPATHY
    captions = 5
    chance = 5 / 1_000
    expected_n = 1_000
