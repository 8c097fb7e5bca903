"""MMVP-VLM: two images that CLIP finds alike, and statements on how they differ, in nine visual patterns."""

from clipbench.data import Dataset
from clipbench.task_types import PairsTask

MMVP_VLM = Dataset(
    name="mmvp_vlm",
    title="MMVP-VLM",
    hub=None,
    layouts=("mmvp_vlm",),
    license="MIT",
    citation="Tong et al. 2024, Eyes Wide Shut?, CVPR, arXiv 2401.06209",
    references=("tong2024eyes",),
    homepage="https://huggingface.co/datasets/MMVP/MMVP_VLM",
    instructions="run `hf download MMVP/MMVP_VLM --repo-type dataset --local-dir FOLDER` and give the FOLDER",
)


class MmvpVlm(PairsTask):
    """135 pairs. A pattern has only 15, so its score is uncertain by 12 points. The authors' score is ``acc``."""

    name = "mmvp_vlm"
    dataset = MMVP_VLM
    expected_n = 135
    group_field = "pattern"
    text_template = "a photo of {}"
    tags = ("compositional",)
