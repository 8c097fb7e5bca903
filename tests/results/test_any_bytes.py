"""Whatever stands in a result file or a sample log: a value comes out, or an error that names the file."""

import copy
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clipbench.analysis.comparison import compare_runs
from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from clipbench.analysis.leaderboard.paper_table import to_latex, to_markdown
from clipbench.analysis.leaderboard.tables import to_csv
from clipbench.analysis.publishing import dataset_upload, describe, model_upload
from clipbench.analysis.rescoring import rescore
from clipbench.analysis.tradeoff import Point, Score, Tradeoff, read_tradeoff
from clipbench.analysis.tradeoff_overlay import overlay
from clipbench.errors import ClipbenchError
from clipbench.results import read_results
from clipbench.results.sample_log import logged_samples
from tests.analysis.leaderboard.builders import lines, make_results, write

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
TASK = "scenes_color"
ODD = [
    "", "a/b", "..", "\x00", "x" * 300, "\ud800", "N/A", "0.5", True, None, -1, 0, 2, -0.5, 1e308, 10**17, [], {},
    [[]], {"": {}}, [None], {"a/b": 1},
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(ODD), st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def good_results():
    results = make_results(values={TASK: 0.5}, breakdown={"red": 0.5})
    results.tasks[TASK].data |= {"layout": "hub", "location": "org/data", "revision": "c" * 40}
    return json.loads(results.to_json())


def places(data, path=()):
    """Every path into nested data."""
    yield path
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places(data[key], (*path, key))


@st.composite
def damaged(draw, good):
    """Good data with a value replaced, a key renamed or something removed, up to three times."""
    data = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(data))))
        if not path:
            continue
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if what == "replace":
            inner[path[-1]] = draw(values)
        elif what == "remove":
            del inner[path[-1]]
        elif isinstance(inner, dict):
            inner[draw(st.sampled_from([each for each in ODD if isinstance(each, str)]))] = inner.pop(path[-1])
    return data


def text_of(data):
    return json.dumps(data).encode()


def attempt(call, *arguments):
    """A value, or None where one short line says what is wrong."""
    message = ""
    try:
        return call(*arguments)
    except ClipbenchError as error:
        message = str(error)
    assert 0 < len(message) < 1_000, message
    assert "\n" not in message, message
    return None


def use_results(raw):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results_2026-01-01T00-00-00.000000.json"
        path.write_bytes(raw)
        attempt(read_results, path)
        attempt(read_tradeoff, path)
        board = attempt(build_leaderboard, [path])
        if board is not None:
            for make in (html_page, to_csv, to_latex, to_markdown, type(board).to_json):
                make(board).encode()
            (Path(folder) / "b.json").write_text(board.to_json(), encoding="utf-8")
            build_leaderboard([], board=Path(folder) / "b.json")
        for upload in (model_upload, dataset_upload):
            made = attempt(upload, [path], "me/x")
            if made is not None:
                describe(made).encode()


GOOD_LINES = lines("+-+")


def use_samples(raw):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a", make_results(values={TASK: 0.5}), {TASK: GOOD_LINES})
        other = write(Path(folder) / "b", make_results("other", values={TASK: 0.5}), {TASK: GOOD_LINES})
        (log,) = path.parent.glob("samples_*")
        log.write_bytes(raw)
        attempt(lambda: list(logged_samples(path, TASK)))
        attempt(rescore, path)
        attempt(compare_runs, path, other)
        attempt(lambda: html_page(build_leaderboard([path, other])).encode())


@quick
@example(b"")
@example(b"\xff\xfe\x00")
@example(b"[" * 100_000)
@example(b'{"schema_version": 2, "tasks": {}}')
@example(b'{"schema_version": 2, "date": ' + b"9" * 5_000 + b"}")
@given(st.binary(max_size=64))
def test_any_bytes_as_a_result_file(raw):
    use_results(raw)


@quick
@given(values)
def test_any_json_as_a_result_file(value):
    use_results(text_of(value))


@quick
@given(damaged(good_results()))
def test_a_damaged_result_file(data):
    use_results(text_of(data))


@quick
@example(b"")
@example(b"\x1f\x8b\x08\x00\x00")
@example(b"[" * 100_000)
@example(b"".join(text_of(line) + b"\n" for line in GOOD_LINES)[:-20])
@given(st.binary(max_size=64))
def test_any_bytes_as_a_sample_log(raw):
    use_samples(raw)


@quick
@given(values)
def test_any_json_as_a_sample_log(value):
    use_samples(text_of(value))


@quick
@given(damaged(GOOD_LINES))
def test_a_damaged_sample_log(data):
    use_samples(b"".join(text_of(line) + b"\n" for line in (data if isinstance(data, list) else [data])))


def good_board():
    with tempfile.TemporaryDirectory() as folder:
        for name in "ab":
            for day in range(2):
                results = make_results(name, {TASK: 0.5}, weights=name * 64, breakdown={"red": 0.5}, day=day)
                write(Path(folder), results, {TASK: GOOD_LINES})
        return json.loads(build_leaderboard([folder], reference=True).to_json())


def good_tradeoff():
    retrieval, color = (Score(task=task, version=1, metric="acc", value=0.5, n=9) for task in ("r", "c"))
    points = [Point(curve=curve, label="1", retrieval=retrieval, concepts=(color,)) for curve in "xy"]
    return json.loads(Tradeoff(title="t", points=tuple(points)).model_dump_json())


@quick
@given(damaged(good_board()))
def test_a_damaged_board(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.json"
        path.write_bytes(text_of(data))
        for arguments in (([path],), ([],)):
            board = attempt(lambda given=arguments[0]: build_leaderboard(given, board=path))
            if board is not None:
                for make in (html_page, to_csv, to_latex, to_markdown, type(board).to_json):
                    make(board).encode()
                find_samples(board, 2)


@quick
@given(damaged(good_tradeoff()))
def test_a_damaged_tradeoff(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tradeoff.json"
        path.write_bytes(text_of(data))
        found = attempt(read_tradeoff, path)
        if found is not None:
            attempt(overlay, {"a": found, "b": found}, "title")
