"""Choices from YAML files are scored, cached, resumed, drawn, compared, rescored and put on boards like other tasks."""

import json
import re

import numpy as np
import pytest
import torch
import yaml

import clipbench
from clipbench.analysis.comparison import compare_runs
from clipbench.analysis.contact_sheet import draw_sheet, html_page, make_contact_sheet
from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.page import html_page as board_page
from clipbench.analysis.rescoring import rescore
from clipbench.errors import ConfigError
from clipbench.results import read_results
from clipbench.results.files import find_result_files
from clipbench.results.hub_cards import card_results
from tests.oracles import numbered_image, oracle
from tests.seeded import build_language_model

# Image, true captions, false captions: k differs, the fourth has two true captions.
TEXTS = [
    (0, ["white dog"], ["black dog"]),
    (1, ["red car"], ["blue car", "green car", "car"]),
    (2, ["boat"], ["boot"]),
    (3, ["a tree", "one tree"], ["no tree", "two trees"]),
    (3, ["a tree"], [" a  tree"]),  # cannot be judged
]
IMAGES = [([0, 1], "white dog"), ([1, 0, 2], "red car"), ([2, 3], "boat"), ([2, 2], "boat")]
OWNERS = {text: image for image, texts, _ in TEXTS for text in texts}
TASKS = ("toy_texts", "toy_images")


def write(folder, rows=None):
    """Two task files on JSONL tables, with the photographs in a folder of their own."""
    (folder / "photos").mkdir()
    for number in range(4):
        numbered_image(number).save(folder / "photos" / f"{number}.png")
    texts = [
        {"image": f"{image}.png", "caption": true, "negative_captions": false, "kind": f"k{len(false)}"}
        for image, true, false in TEXTS
    ]
    images = [{"pictures": [f"{one}.png" for one in numbers], "text": text} for numbers, text in IMAGES]
    for name, lines in zip(TASKS, (texts, images), strict=True):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines[:rows])))
    declared = [
        {"task_type": "choice", "dataset": {"image_folder": "photos"}, "group_field": "kind"},
        {"task_type": "image_choice", "dataset": {"image_folder": "photos", "images": "pictures", "captions": "text"}},
    ]
    for name, task in zip(TASKS, declared, strict=True):
        task["dataset"]["path"] = f"{name}.jsonl"
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **task}))
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("choice"))


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """The same without what cannot be judged."""
    return write(tmp_path_factory.mktemp("valid"), rows=-1)


@pytest.fixture(scope="module")
def runs(valid, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    found = {}
    for kind in ("perfect", "reversed"):
        results = clipbench.evaluate(
            oracle(kind, OWNERS), str(valid), output_path=root / kind, log_samples=True, name=kind
        )
        assert not results.failed
        (found[kind],) = find_result_files(root / kind)
    return found


@pytest.mark.parametrize(("kind", "right", "tied"), [("perfect", 1, 0), ("reversed", 0, 0), ("constant", 0, 1)])
def test_oracles_are_exact(files, kind, right, tied):
    results = clipbench.evaluate(oracle(kind, OWNERS), str(files), allow_missing=True)
    for name, n, chance in (("toy_texts", 4, (1 / 2 + 1 / 4 + 1 / 2 + 1 / 6) / 4), ("toy_images", 3, 4 / 9)):
        task = results.tasks[name]
        assert (results.metric(name, "acc"), task.tied) == (right, tied * n)
        assert (task.counts.original, task.counts.effective, task.invalid) == (n + 1, n, 1)
        assert task.chance == pytest.approx(chance)
    groups = results.tasks["toy_texts"].breakdown
    assert {name: (part.n, part.value) for name, part in groups.items()} == {
        "k1": (2, right), "k2": (1, right), "k3": (1, right),
    }  # fmt: skip


def test_features_that_are_no_numbers_are_an_error(files):
    results = clipbench.evaluate(oracle("nan", OWNERS), str(files), allow_missing=True)
    assert [name for name in TASKS if "is not finite" in (results.tasks[name].error or "")] == list(TASKS)


def test_they_are_drawn(valid, runs):
    sheets = {name: make_contact_sheet(runs["reversed"], name, include_path=(valid,)) for name in TASKS}
    shown = {
        name: [[("".join(part for part, _ in text.parts), text.label) for text in sample.texts]
               for card in sheet.cards for sample in card.samples]
        for name, sheet in sheets.items()
    }  # fmt: skip
    assert shown["toy_texts"][3][:2] == [("a tree", "true"), ("one tree", "true")]
    assert [label for _, label in shown["toy_texts"][3][2:]] == ["winner"]
    assert shown["toy_images"][1] == [("red car", "")]
    assert [len(card.images) for card in sheets["toy_images"].cards] == [2, 3, 2]
    for sheet in sheets.values():
        assert draw_sheet(sheet).size[0] > 300
        assert "red car" in re.sub("</?b>", "", html_page(sheet))


def test_they_are_compared_and_rescored(valid, runs):
    found = {one.task: one for one in compare_runs(runs["perfect"], runs["reversed"], resamples=100)}
    assert {name: (one.n, one.interval.difference) for name, one in found.items()} == {
        "toy_texts": (4, -1.0), "toy_images": (3, -1.0),
    }  # fmt: skip
    for kind, value in (("perfect", 1), ("reversed", 0)):
        for rescored in rescore(runs[kind], include_path=(valid,)):
            assert (rescored.metrics["acc"].mean, rescored.changed) == (value, [])


def test_they_are_on_boards_and_in_the_gallery(valid, runs):
    board = clipbench.build_leaderboard(list(runs.values()), include_path=(valid,))
    assert {(score.task, score.model.partition("@")[0], score.value) for score in board.scores} == {
        (name, kind, value) for name in TASKS for kind, value in (("perfect", 1.0), ("reversed", 0.0))
    }
    gallery, problems = find_samples(board, 8, include_path=(valid,))
    assert problems == []
    assert [sample["own"] for sample in gallery.samples["toy_texts"]][-1] == [True, True, False, False]
    assert [len(sample["images"]) for sample in gallery.samples["toy_images"]] == [2, 3, 2]
    assert "toy_images" in board_page(board, gallery).replace("\u200b", "")
    assert {entry.task_name for entry in card_results(read_results(runs["perfect"]))} == {
        "Choice among captions", "Choice among images",
    }  # fmt: skip


def test_a_journal_and_a_cache_change_no_score(files, tmp_path, tiny_clip):
    def scores(**options):
        found = []
        clipbench.evaluate(
            str(tiny_clip),
            str(files),
            allow_missing=True,
            on_sample=lambda task, one: found.append((task, one.sample_id, one.record["scores"])),
            **options,
        )
        return [(task, name, pytest.approx(np.array(scores), abs=1e-6)) for task, name, scores in found]

    plain = scores()
    assert len(plain) == 7
    for options in ({}, {}, {"output_path": tmp_path / "out"}):
        again = scores(use_cache=tmp_path / "cache", **options)
        assert [(task, name, np.array(found.expected)) for task, name, found in again] == plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concept": "color"}, "a choice task has no concept"),
        ({"task_type": "retrieval", "group_field": "kind"}, "a retrieval task has no group_field"),
        ({"task_type": "choise"}, r"unknown task type 'choise' \(did you mean choice"),
    ],
)
def test_task_files_that_make_no_sense(files, tmp_path, change, message):
    declared = {"name": "bad", "task_type": "choice", "dataset": {"path": str(files / "toy_texts.jsonl")}, **change}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(declared))
    with pytest.raises(ConfigError, match=message):
        clipbench.load_tasks(str(tmp_path / "bad.yaml"))


def test_a_column_of_false_captions_that_is_not_there(files, tmp_path, tiny_clip):
    dataset = {"path": str(files / "toy_texts.jsonl"), "image_folder": str(files / "photos")}
    declared = {"name": "bad", "task_type": "choice", "dataset": {**dataset, "false_captions": "negative_caption"}}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(declared))
    error = clipbench.evaluate(str(tiny_clip), str(tmp_path / "bad.yaml")).tasks["bad"].error
    assert "no column 'negative_caption' (did you mean negative_captions" in error


def test_results_hold_what_needs_no_image(valid, runs):
    """By hand: true texts are as long as false ones or between them, and no two images share a word: all tie."""
    tasks = read_results(runs["perfect"]).tasks
    rules = ("longest_text", "shortest_text", "word_frequency", "word_pair_frequency")
    assert tasks["toy_texts"].blind == dict.fromkeys(rules, 0)
    assert tasks["toy_images"].blind == {}


def test_a_language_model_chooses_among_texts_and_not_among_images(valid, tmp_path):
    folder = build_language_model(tmp_path / "gpt2")
    results = clipbench.evaluate(f"text_only:{folder}", str(valid), output_path=tmp_path / "out", log_samples=True)
    assert results.failed == ["toy_images"]
    assert "sees no image, and in image_choice tasks images compete" in results.tasks["toy_images"].error
    model = clipbench.load_model(f"text_only:{folder}")
    right = []
    for _, true, false in TEXTS[:-1]:
        with torch.inference_mode():
            scores = model.text_features(model.tokenize([*true, *false]))[:, 0].tolist()
        right.append(min(scores[: len(true)]) > max(scores[len(true) :]))
    assert results.metric("toy_texts", "acc") == sum(right) / len(right)
