"""NASA Earth Instagram: satellite pictures with NASA's own captions; color ranking."""

from clipbench.data import Dataset, HubTable
from clipbench.task_types import RankingTask

NASA_EARTH = Dataset(
    name="nasa_earth",
    title="NASA Earth",
    hub=HubTable(
        repo="nkasmanoff/nasa_earth_instagram",
        revision="main",
        split="train",
        images=("image",),
        captions=("text",),
    ),
    license="NASA's media are mostly free of copyright; see the data card.",
    citation="nkasmanoff/nasa_earth_instagram on the Hugging Face hub",
    references=("nasaearth",),
    homepage="https://huggingface.co/datasets/nkasmanoff/nasa_earth_instagram",
    instructions="put the parquet files of nkasmanoff/nasa_earth_instagram into a folder",
)


class NasaEarthColor(RankingTask):
    """Nine colors."""

    name = "nasa_earth_color"
    dataset = NASA_EARTH
    concept = "color"
    expected_n = 132
    tags = ("paper",)
