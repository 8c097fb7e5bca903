"""Cola: two photographs and two captions with attributes and objects swapped."""

from clipbench.data import Dataset
from clipbench.task_types import PairsTask

COLA = Dataset(
    name="cola",
    title="Cola",
    hub=None,
    layouts=("cola",),
    license="MIT; photographs of Visual Genome under their own licenses.",
    citation="Ray et al. 2023, Cola: A Benchmark for Compositional Text-to-image Retrieval, NeurIPS, arXiv 2305.03689",
    references=("ray2023cola",),
    homepage="https://github.com/arijitray1993/COLA",
    instructions="download the images of COLA_multiobjects_matching_benchmark.json to images next to it",
)


class Cola(PairsTask):
    """210 pairs of the multi-object setting; its score is ``acc``."""

    name = "cola"
    dataset = COLA
    expected_n = 210
    tags = ("compositional",)
