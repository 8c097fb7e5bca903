import json
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipbench.analysis.published import ORIGINAL
from clipbench.analysis.tradeoff import Point, Score, Tradeoff, pareto_front, point_from_results, read_tradeoff
from clipbench.analysis.tradeoff_figure import _figure, draw_tradeoff, render
from clipbench.analysis.tradeoff_overlay import overlay
from clipbench.errors import ResultError
from clipbench.results import Measure, Results, SampleCounts, TaskResult

RETRIEVAL = {"t2i_recall@1": 0.2, "t2i_recall@5": 0.5}


def results(tasks, errors=()):
    """Results of tasks: name to family, primary metric and metrics."""
    found = Results(model_name="m")
    for name, (task_type, primary, metrics) in tasks.items():
        found.tasks[name] = TaskResult(
            task_type=task_type, primary_metric=primary, error="broken" if name in errors else None, version=3,
            metrics={metric: Measure(value, 0.01 if metric == primary else None) for metric, value in metrics.items()},
            counts=SampleCounts(original=9, effective=7),
        )  # fmt: skip
    return found


RUN = {
    "look": ("retrieval", "t2i_recall@5", RETRIEVAL),
    "color": ("ranking", "acc", {"acc": 0.75}),
    "inpaint": ("pairs", "acc", {"acc": 0.25, "text_acc": 0.5}),
}


def point(curve, x, y, label="step 1", n=100, version=1, look="look", task="color"):
    def score(name, metric, value):
        return Score(task=name, version=version, metric=metric, value=value, stderr=0.01, n=n)

    return Point(curve=curve, label=label, retrieval=score(look, "t2i_recall@5", x), concepts=(score(task, "acc", y),))


def curve(name, *places):
    return [point(name, x, y, f"step {number}") for number, (x, y) in enumerate(places, 1)]


def test_a_point_takes_recall_at_5_and_the_primary_metrics():
    made = point_from_results(results(RUN), "HN1", "step 10", step=10)
    assert made.retrieval == Score(task="look", version=3, metric="t2i_recall@5", value=0.5, stderr=0.01, n=7)
    assert [(score.task, score.metric, score.value) for score in made.concepts] == [
        ("color", "acc", 0.75),
        ("inpaint", "acc", 0.25),
    ]
    assert made.at("inpaint") == (0.5, 0.25)


def test_a_task_that_failed_gives_no_panel():
    made = point_from_results(results(RUN, errors=["color"]), "HN1", "step 10")
    assert [score.task for score in made.concepts] == ["inpaint"]


@pytest.mark.parametrize(
    "tasks",
    [
        {"color": RUN["color"]},
        {"look": RUN["look"]},
        {**RUN, "look2": RUN["look"]},
        {},
    ],
    ids=["no retrieval", "retrieval alone", "two retrieval tasks", "nothing"],
)
def test_a_tradeoff_needs_one_retrieval_task_and_another(tasks):
    with pytest.raises(ResultError, match="needs one retrieval task"):
        point_from_results(results(tasks), "HN1", "step 10")


def test_a_number_that_does_not_exist_is_an_error():
    with pytest.raises(ResultError, match="color has no acc"):
        point_from_results(results({**RUN, "color": ("ranking", "acc", {})}), "HN1", "step 10")


def swept_front(places):
    """The front by going from the right to the left and keeping what is higher than all before."""
    front, best = set(), float("-inf")
    for x in sorted({x for x, _ in places}, reverse=True):
        top = max(b for a, b in places if a == x)
        if top > best:
            front.add((x, top))
            best = top
    return [place in front for place in places]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_the_pareto_front_equals_a_sweep(places):
    assert pareto_front(places) == swept_front(places)


def test_of_points_in_a_row_only_the_best_is_on_the_front():
    assert pareto_front([(1, 1), (1, 2), (2, 2), (2, 2), (0, 3)]) == [False, False, True, True, True]


POINTS = [
    point(ORIGINAL, 0.53, 0.48, "openai/clip"),
    *curve("HN1", (0.6, 0.7), (0.62, 0.8), (0.59, 0.82)),
    *curve("_a$b$ & <script>alert(1)</script> 白", (0.65, 0.6), (0.66, 0.69)),
]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_what_is_drawn_can_be_read_back(tmp_path):
    paths = draw_tradeoff(POINTS, tmp_path / "new" / "folder", "A title with $ in it, and <b>")
    assert [path.name for path in paths] == ["tradeoff.json", "tradeoff.svg", "tradeoff.png"]
    assert sorted(paths) == sorted(paths[0].parent.iterdir())
    for place in (paths[0], paths[0].parent):
        assert read_tradeoff(place) == Tradeoff(title="A title with $ in it, and <b>", points=tuple(POINTS))
    root = ElementTree.parse(paths[1]).getroot()
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    with Image.open(paths[2]) as picture:
        assert picture.width >= 800


def test_equal_data_give_equal_files_whatever_the_users_settings():
    before = dict(matplotlib.rcParams)
    first = render(Tradeoff(title="t", points=tuple(POINTS[:4])))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        second = render(Tradeoff(title="t", points=tuple(POINTS[:4])))
    assert first == second
    assert dict(matplotlib.rcParams) == before


def drawn(points):
    """Axes by panel, and the legend's texts."""
    figure = _figure(Tradeoff(title="t", points=tuple(points)))
    figure.draw_without_rendering()
    return figure.axes, [text.get_text() for text in figure.legends[0].get_texts()]


def markers(axes, place):
    found = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    return [line for line in found if (line.get_xdata()[0], line.get_ydata()[0]) == place]


def test_every_point_has_its_marker_and_markers_grow_along_a_curve():
    (axes,), legend = drawn(POINTS[:4])
    sizes = []
    for each in POINTS[1:4]:
        (line,) = markers(axes, each.at("color"))
        sizes.append(line.get_markersize())
    assert sizes == sorted(set(sizes))
    (original,) = markers(axes, POINTS[0].at("color"))
    assert original.get_color() == "black"
    assert legend == ["Orig. openai/clip", "HN1: step 1 → step 3", "Pareto front"]


def test_curves_look_different_and_names_with_an_underscore_are_in_the_legend():
    (axes,), legend = drawn([p for number in range(8) for p in curve(f"_{number}", (0.5, number / 10))])
    assert len(legend) == 9
    looks = [(line.get_color(), line.get_marker()) for n in range(8) for line in markers(axes, (0.5, n / 10))]
    assert len(set(looks)) == 8


def test_no_point_lies_beyond_the_staircase():
    (axes,), _ = drawn(POINTS[:4])
    stairs = next(line for line in axes.lines if line.get_drawstyle() == "steps-pre")
    xs, ys = list(stairs.get_xdata()), list(stairs.get_ydata())
    assert list(zip(xs, ys, strict=True))[1:-1] == [(0.59, 0.82), (0.62, 0.8)]
    for x, y in [each.at("color") for each in POINTS[:4]]:
        height = next(b for a, b in zip(xs, ys, strict=True) if a >= x)
        assert y <= height


def test_a_panel_a_task_and_only_the_points_that_have_it():
    panels, _ = drawn([point("a", 0.5, 0.6), point("b", 0.5, 0.7, task="size"), point("c", 0.4, 0.7, task="third")])
    assert [axes.get_ylabel() for axes in panels] == [f"{t}: accuracy (%)" for t in ("color", "size", "third")]
    assert not markers(panels[0], (0.5, 0.7))
    assert markers(panels[1], (0.5, 0.7))


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="without points"):
        draw_tradeoff([], tmp_path, "t")


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be written"):
        draw_tradeoff(POINTS[:2], tmp_path / "file" / "out", "t")


GOOD = json.loads(Tradeoff(title="t", points=tuple(POINTS[:2])).model_dump_json())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable trade-off"),
        ("\ufeff\x00", "not a readable trade-off"),
        ("[]", "schema version 1, but None"),
        ('{"results": {}}', "schema version 1, but None"),
        (json.dumps({**GOOD, "schema_version": 2}), "schema version 1, but 2"),
        (json.dumps({**GOOD, "extra": 1}), "extra: "),
        (json.dumps({**GOOD, "points": [{}]}), r"points\.0\.curve: "),
    ],
)
def test_a_file_that_is_no_tradeoff_is_named(tmp_path, text, message):
    (tmp_path / "tradeoff.json").write_text(text)
    with pytest.raises(ResultError, match=message) as caught:
        read_tradeoff(tmp_path)
    assert "tradeoff.json" in str(caught.value)


def test_a_folder_without_one_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="not a readable trade-off"):
        read_tradeoff(tmp_path)


def run(*points):
    return Tradeoff(title="t", points=points)


ORIGIN = point(ORIGINAL, 0.5, 0.5, "base")


def test_runs_laid_over_each_other_have_their_original_once():
    both = overlay({"a": run(ORIGIN, *curve("HN1", (0.6, 0.7))), "b": run(ORIGIN, *curve("HN2", (0.6, 0.8)))}, "both")
    assert [p.curve for p in both.points] == [ORIGINAL, "HN1", "HN2"]
    assert both.title == "both"


def test_curves_of_one_name_are_told_apart_by_their_run():
    both = overlay({"a": run(*curve("HN", (0.6, 0.7), (0.6, 0.8))), "b": run(*curve("HN", (0.6, 0.8)))}, "t")
    assert [p.curve for p in both.points] == ["a: HN", "a: HN", "b: HN"]


def test_originals_that_differ_are_all_kept():
    other = point(ORIGINAL, 0.4, 0.5, "other base")
    both = overlay({"a": run(ORIGIN), "b": run(other)}, "t")
    assert [p.label for p in both.points] == ["base", "other base"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            point("HN2", 0.6, 0.7, n=99),
            "recall@5 of 99 samples, does not compare with a's version 1, t2i_recall@5 of 100",
        ),
        (point("HN2", 0.6, 0.7, version=2), "look version 2, t2i_recall@5 of 100 samples, does not compare"),
        (point("HN2", 0.6, 0.7, look="flickr"), "a and b: retrieval is look and flickr"),
    ],
)
def test_runs_on_other_samples_are_refused(other, message):
    with pytest.raises(ResultError, match=message):
        overlay({"a": run(ORIGIN), "b": run(other)}, "t")


def test_runs_are_compared_with_each_other_and_not_with_the_first_only():
    size = point("HN2", 0.6, 0.7, task="size")
    worse = size.model_copy(update={"concepts": (size.concepts[0].model_copy(update={"n": 3}),)})
    with pytest.raises(ResultError, match="c: size version 1, acc of 3 samples, does not compare with b's"):
        overlay({"a": run(ORIGIN), "b": run(size), "c": run(worse)}, "t")


def test_another_concept_beside_is_a_further_panel():
    both = overlay({"a": run(ORIGIN), "b": run(point("HN2", 0.6, 0.7, task="size"))}, "t")
    assert both.tasks == ["color", "size"]
