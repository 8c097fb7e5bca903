import pytest

from clipbench.data import open_source
from clipbench.evaluation.data_report import DataReport, validate_task
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


@pytest.mark.parametrize("task", [{}, {"task_type": "retrieval", "concept": None}])
@pytest.mark.parametrize("limit", [None, 2])
def test_another_pass_finds_what_the_first_one_found(tmp_path, task, limit):
    file = write_toy(tmp_path, captions=["a white dog", "a red car", "", "a green bus", "a red car"], **task)
    with (tmp_path / "toy.csv").open("a") as table:
        table.write("0.png,a white dog\nno_such.png,a black cat\n1.png,a red car\n")
    (task,) = select_tasks(str(file), ())
    source = open_source(task.dataset, task.dataset.path)
    first = validate_task(task, source, limit=limit)
    again, fresh = first.again(), DataReport(task, source, limit)
    samples, expected = (list(report.track(task.samples(source))) for report in (again, fresh))
    assert [sample.id for sample in samples] == [sample.id for sample in expected]
    for report in (first, again):
        assert (report.n, report.scorable, len(report.images)) == (fresh.n, fresh.scorable, len(fresh.images))
        assert (report.problems, report.failures) == (fresh.problems, fresh.failures)
        assert report.blind_scores() == fresh.blind_scores()


def test_data_that_changes_between_two_passes_is_a_failure(tmp_path):
    file = write_toy(tmp_path)
    (task,) = select_tasks(str(file), ())
    first = validate_task(task, open_source(task.dataset, task.dataset.path))
    with (tmp_path / "toy.csv").open("a") as table:
        table.write("0.png,a black dog\n")
    again = first.again()
    list(again.track(task.samples(open_source(task.dataset, task.dataset.path))))
    assert again.failures == ["the data has changed: 3 samples where there were 2"]


def test_a_pass_for_a_model_that_opens_no_image_counts_anew_where_images_are_missing(tmp_path):
    file = write_toy(tmp_path)
    with (tmp_path / "toy.csv").open("a") as table:
        table.write("no_such.png,a black dog\n")
    (task,) = select_tasks(str(file), ())
    source = open_source(task.dataset, task.dataset.path)
    again = validate_task(task, source, limit=3).again(needs_images=False)
    assert len(list(again.track(task.samples(source)))) == again.scorable == 3
    assert again.failures == []
