import pytest

import clipbench
from clipbench.data import open_source
from clipbench.scenes.source import open_pictures
from clipbench.scenes.world import World

NAMES = [f"scenes_{concept}" for concept in ("color", "location", "object", "size")]
NAMES += [f"scenes_inpaint_{concept}" for concept in ("color", "object", "size")] + ["scenes_retrieval"]


def test_the_group_holds_all_of_them():
    assert sorted(task.name for task in clipbench.load_tasks("scenes")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_there_are_as_many_samples_as_declared_and_all_can_be_judged(name):
    (task,) = clipbench.load_tasks(name)
    samples = list(task.samples(open_source(task.dataset)))
    assert len(samples) == task.expected_n
    assert len({sample.id for sample in samples}) == len(samples)
    assert not any(task.invalid_reason(sample) for sample in samples)


def test_a_run_needs_no_network_and_no_files(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    results = clipbench.evaluate("demo", "scenes_inpaint_color,scenes_object", limit=20)
    assert results.metric("scenes_inpaint_color", "acc") > 0.5
    assert results.metric("scenes_object", "acc") > 0.5


@pytest.mark.parametrize("where", [{}, {"tenth": 3}, {"tenth": "3"}])
def test_rows_read_again_are_the_pictures_of_the_world(where):
    source = open_pictures("test", 25, 5)
    first, again = list(source.rows(where=where)), list(source.rows(where=where))
    wanted = [picture for index, picture in enumerate(World("test", 25, 5)) if not where or index % 10 == 3]
    for rows in (first, again):
        assert [(row.id, row.captions) for row in rows] == [(one.scene.key, one.captions) for one in wanted]
        for row, picture in zip(rows, wanted, strict=True):
            assert row.images[0].open().tobytes() == picture.draw().tobytes()
