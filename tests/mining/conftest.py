import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COLORS = ("red", "blue", "green", "white", "black")


def captions_of(shard, rows):
    """Every third caption has a color."""
    return [
        f"a {COLORS[(shard + row) % 5]} bird on branch {shard}-{row}" if row % 3 == 0 else f"a bird, {shard}-{row}"
        for row in range(rows)
    ]


@pytest.fixture
def shards(tmp_path):
    """Four parquet files as LAION's, of 30 rows in row groups of 7."""
    folder = tmp_path / "laion"
    folder.mkdir()
    for shard in range(4):
        urls = [f"https://example.org/{shard}/{row}.jpg" for row in range(30)]
        table = pa.table({"URL": urls, "TEXT": captions_of(shard, 30), "WIDTH": list(range(30))})
        pq.write_table(table, folder / f"part-{shard:05d}.parquet", row_group_size=7)
    return folder
