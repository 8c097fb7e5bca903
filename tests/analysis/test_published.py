import pytest

from clipbench.analysis.published import ORIGINAL, published_figure, published_figures


@pytest.mark.parametrize(
    ("task", "concept", "kind", "epoch", "expected"),
    [  # read off the paper's Tables 1, 2 and 7
        ("inpaintcoco_size", "size", "HN1", 2, 0.57),
        ("inpaintcoco_color", None, ORIGINAL, None, 0.62),
        ("flickr30k_size", "size", "HN1", 3, 0.92),
        ("oldbooks_object", "object", "HN3", 1, 0.31),
        ("coco_location", "location", "Clas.", 3, 0.62),
        ("coco_retrieval_first", "color", "HN3", 3, 0.57),
        ("coco_retrieval_first", "size", ORIGINAL, 1, 0.53),
    ],
)
def test_figures_are_the_papers(task, concept, kind, epoch, expected):
    assert published_figure(task, concept, kind, epoch).value == expected


def test_what_was_not_published_is_none():
    assert published_figure("inpaintcoco_size", "size", "HN2", 1) is None  # size has one replacement
    assert published_figure("coco_color", "color", "HN1", 4) is None
    assert published_figure("no_such_task", "color", "HN1", 1) is None


def test_each_figure_is_there_once_and_is_a_share():
    keys = [(one.task, one.concept, one.kind, one.epoch) for one in published_figures()]
    assert len(set(keys)) == len(keys)
    assert all(0 < value < 1 for one in published_figures() for value in one.values.values())


def test_every_figure_names_its_source():
    assert {one.source.split(",")[0] for one in published_figures()} == {"arXiv 2403.02875", "ytaek-oh/vl_compo"}
