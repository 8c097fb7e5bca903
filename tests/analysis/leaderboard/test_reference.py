import pytest

from clipbench import build_leaderboard, load_tasks
from clipbench.analysis.leaderboard.reference import reference_board
from tests.analysis.leaderboard.builders import make_results, write


def value(board, model, task):
    return board.score(f"published: {model}", task).value


@pytest.mark.parametrize(
    ("model", "task", "expected"),
    [
        ("openai/clip-vit-base-patch32", "inpaintcoco_size", 0.26),
        ("HN3 color, epoch 3", "inpaintcoco_color", 0.92),
        ("HN1 size, epoch 2", "inpaintcoco_size", 0.57),
        ("HN1 size", "flickr30k_size", 0.92),
        ("HN3 object", "oldbooks_object", 0.31),
        ("Clas. location, epoch 3", "coco_location", 0.62),
        ("HN3 color, epoch 3", "coco_retrieval_first", 0.57),
        ("openai/clip-vit-base-patch32", "coco_retrieval_first", 0.53),
        ("openai/clip-vit-base-patch32", "sugarcrepe_swap_obj", 0.6122),
    ],
)
def test_published_figures(model, task, expected):
    assert value(reference_board(), model, task) == expected


def test_every_published_score_is_marked_and_none_is_ranked(tmp_path):
    path = write(tmp_path, make_results(values={"coco_color": 0.5}))
    board = build_leaderboard([path], reference=True)
    assert set(board.tasks) == {"coco_color"}
    published = [score for score in board.scores if score.published]
    assert len(published) == 13  # the original, and four trainings of three epochs
    assert all(score.rank is None and score.file == "arXiv 2403.02875, Table 7" for score in published)
    assert [score.rank for score in board.scores if not score.published] == [1]
    assert all(board.models[score.model].published for score in published)


def test_names_metrics_and_sizes_are_those_of_clipbench():
    board = reference_board()
    known = {task.name: task for task in load_tasks("paper")}
    assert known.keys() <= board.tasks.keys()
    for score in board.scores:
        if score.task in known:
            task = known[score.task]
            assert (score.metric, board.tasks[score.task].task_type) == (task.primary_metric, task.task_type)
            assert score.n == task.expected_n
            assert score.chance == pytest.approx(task.chance)


def test_a_newer_version_of_a_task_does_not_flag_what_is_published(tmp_path):
    path = write(tmp_path, make_results(values={"coco_color": 0.5}, version=3))
    board = build_leaderboard([path], reference=True)
    assert board.tasks["coco_color"].version == 3
    assert all(score.flags == [] for score in board.scores)
