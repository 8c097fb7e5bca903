import pytest

from clipbench.data import open_source
from clipbench.evaluation.data_report import validate_task
from clipbench.task_types.registry import select_tasks
from tests.toy import write_toy

SAID = "repeated, with the same image: each counts again"


def problems(file, limit=None):
    (task,) = select_tasks(str(file), ())
    return validate_task(task, open_source(task.dataset, task.dataset.path), limit=limit).problems


@pytest.mark.parametrize(
    ("task", "said"), [({}, f"2 samples {SAID}"), ({"task_type": "retrieval", "concept": None}, f"3 captions {SAID}")]
)
def test_repeated_rows_are_said(tmp_path, task, said):
    """Two of a white dog, one without a keyword; `./0.png` is the same image."""
    file = write_toy(tmp_path, **task)
    assert problems(file) == []
    with (tmp_path / "toy.csv").open("a") as table:
        table.write("0.png,a white dog\n./0.png,a white dog\n3.png,nothing of note\n1.png,a white dog\n")
    assert problems(file) == [said]


def test_repeats_of_complete_published_data_are_part_of_it(tmp_path):
    file = write_toy(tmp_path, captions=["a white dog", "a red car"], expected_n=3)
    with (tmp_path / "toy.csv").open("a") as table:
        table.write("0.png,a white dog\n")
    assert problems(file) == []


def test_what_a_table_leaves_unused_is_a_problem_of_its_tasks(tmp_path):
    file = write_toy(tmp_path, dataset={"path": "toy.csv"})
    table = tmp_path / "toy.csv"
    table.write_text(
        "".join(f"{line},x\n" for line in table.read_text().splitlines()).replace("caption,x", "caption,alt_text")
    )
    (said,) = problems(file)
    assert said.startswith("columns not used: alt_text (used: image, caption; ")
