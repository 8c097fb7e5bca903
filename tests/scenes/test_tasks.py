import pytest

import clipbench
from clipbench.data import open_source

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
