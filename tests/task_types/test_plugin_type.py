"""A task type that a plug-in brings is scored, drawn, compared, rescored and put on boards like the bundled ones."""

import ast
import json
from pathlib import Path

import pytest

import clipbench
from clipbench.analysis.comparison import compare_runs
from clipbench.analysis.contact_sheet import draw_sheet, make_contact_sheet
from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.page import html_page
from clipbench.analysis.rescoring import rescore
from clipbench.errors import ConfigError
from clipbench.results import read_results
from clipbench.results.files import find_result_files
from clipbench.results.hub_cards import card_results
from clipbench.task_types.base import TASK_TYPES
from tests.oracles import numbered_image

PACKAGE = Path(clipbench.__file__).parent
PLUGIN = '''
from clipbench.data import Dataset, HubTable
from clipbench.task_types import SampleTask
from clipbench.types import Sample, SampleResult


class OddOneTask(SampleTask):
    """One image and three texts, the middle one of which is true."""

    task_type = "odd_one"
    metrics = ("hit",)
    primary_metric = "hit"
    hub_task = ("visual-question-answering", "Odd one out")

    def samples(self, source):
        for row in source.rows():
            texts = (f"not {{row.captions[0]}}", row.captions[0], "something else")
            yield Sample(row.id, row.images, texts, row.captions[0].split()[0], row.images[0].key)

    def invalid_reason(self, sample):
        return None

    def score_sample(self, sample, similarities):
        row = similarities[0].tolist()
        hit = row[1] > max(row[0], row[2])
        record = {{"images": [sample.images[0].key], "texts": list(sample.texts), "scores": row}}
        return SampleResult(sample.id, {{"hit": float(hit)}}, hit, 1 / 3, False, sample.group, sample.cluster, record)

    @classmethod
    def own_texts(cls, sample):
        return [False, True, False]

    @classmethod
    def confusion(cls, sample):
        return "middle", ("first", "middle", "last")[sample.scores[0].index(max(sample.scores[0]))]


class OddOne(OddOneTask):
    """The type on four pictures."""

    name = "odd_one_toy"
    dataset = Dataset("odd", HubTable("", "main", "test", ("image",), ("caption",)), path={table!r})
'''


class Encoder:
    """Puts one text of each sample first: the true one, or always the first."""

    def __init__(self, prefers):
        self.prefers = prefers

    def encode_image(self, images):
        return [[1.0, 0.0] for _ in images]

    def encode_text(self, texts):
        return [[1.0, 0.1] if self._first(text) else [0.1, 1.0] for text in texts]

    def _first(self, text):
        if self.prefers == "first":
            return text.startswith("not ")
        return text.startswith("thing") and text.endswith("seen")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two models' results on the plug-in's task, and the plug-in."""
    folder = tmp_path_factory.mktemp("plugin")
    rows = ["image,caption"]
    for number in range(4):
        numbered_image(number).save(folder / f"{number}.png")
        rows.append(f"{number}.png,thing {number}{' seen' if number else ''}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    plugin = folder / "odd.py"
    plugin.write_text(PLUGIN.format(table=str(folder / "rows.csv")))
    found = {}
    for name in ("right", "first"):
        model = clipbench.load_model(Encoder(name))
        results = clipbench.evaluate(
            model, "odd_one_toy", include_path=(plugin,), output_path=folder / name, log_samples=True, name=name
        )
        assert results.tasks["odd_one_toy"].error is None
        (found[name],) = find_result_files(folder / name)
    return found, plugin


def test_it_is_scored(runs):
    found, _ = runs
    assert read_results(found["right"]).metric("odd_one_toy", "hit") == 3 / 4  # "thing 0" ties with the others
    assert read_results(found["first"]).metric("odd_one_toy", "hit") == 0


def test_it_is_drawn(runs):
    found, plugin = runs
    sheet = make_contact_sheet(found["first"], "odd_one_toy", include_path=(plugin,))
    texts = sheet.cards[1].samples[0].texts
    assert ["".join(part for part, _ in text.parts) for text in texts] == ["thing 1 seen", "not thing 1 seen"]
    assert [(text.label, text.failed) for text in texts] == [("true", False), ("winner", True)]
    assert draw_sheet(sheet).size[0] > 300


def test_it_is_compared(runs):
    found, _ = runs
    (comparison,) = compare_runs(found["right"], found["first"], resamples=100)
    assert (comparison.metric, comparison.n, comparison.interval.difference) == ("hit", 4, -0.75)
    assert len(comparison.only_a) == 3


def test_it_is_rescored(runs):
    found, plugin = runs
    (rescored,) = rescore(found["right"], include_path=(plugin,))
    assert (rescored.metrics["hit"].mean, rescored.changed) == (0.75, [])


def test_it_is_on_boards_with_confusions_and_gallery(runs):
    found, plugin = runs
    board = clipbench.build_leaderboard(list(found.values()), include_path=(plugin,))
    assert [score.value for score in sorted(board.scores, key=lambda score: -score.value)] == [0.75, 0.0]
    confusions = {score.value: score.confusion for score in board.scores}
    assert confusions[0.75]["middle"]["middle"] == 3
    gallery, problems = find_samples(board, 2, include_path=(plugin,))
    assert problems == []
    (sample, *_) = gallery.samples["odd_one_toy"]
    assert sample["own"] == [False, True, False]
    assert "odd_one_toy" in html_page(board, gallery).replace("\u200b", "")


def test_the_hub_is_told_its_type(runs):
    found, _ = runs
    (entry,) = card_results(read_results(found["right"]))
    assert (entry.task_type, entry.task_name) == ("visual-question-answering", "Odd one out")


def test_a_yaml_file_may_name_it(runs, tmp_path):
    _, plugin = runs
    (tmp_path / plugin.name).write_text(plugin.read_text())
    table = plugin.parent / "rows.csv"
    declared = {"name": "odd_yaml", "task_type": "odd_one", "dataset": {"path": str(table)}}
    (tmp_path / "a.yaml").write_text(json.dumps(declared))
    (task,) = clipbench.load_tasks("odd_yaml", (tmp_path,))
    assert task.primary_metric == "hit"


def test_an_unknown_type_is_answered_with_its_neighbours(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\ntask_type: rankin\nconcept: color\ndataset: {path: x.csv}\n")
    with pytest.raises(ConfigError, match=r"a.yaml:2: task_type: unknown task type 'rankin' \(did you mean ranking"):
        clipbench.load_tasks(str(tmp_path / "a.yaml"))


def test_a_bundled_type_keeps_its_name():
    with pytest.raises(ConfigError, match="'ranking' of .*: clipbench has one of this name"):
        type("Mine", (TASK_TYPES["pairs"],), {"task_type": "ranking"})
    assert TASK_TYPES["ranking"].__module__ == "clipbench.task_types.ranking"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_compares_the_name_of_a_task_type(path):
    """What differs between task types is asked of the type."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            words = {
                part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
            assert not words & {"pairs", "retrieval", "ranking"}, f"{path.name}:{node.lineno}"
