"""Models whose scores are known, over every task that ships, from parquet in the hub's columns to results."""

import itertools
import math
import re

import numpy as np
import pytest

import clipbench
from clipbench.task_types.registry import known_tasks, select_tasks
from tests.data import builders
from tests.oracles import numbered_image, oracle, unit

PHOTOGRAPHS = 12
WORDS = {  # a caption of every concept, and one that holds none
    "object": "photograph {} of a dog",
    "color": "photograph {} of something white",
    "location": "photograph {} taken from above",
    "size": "photograph {} of a large thing",
    "none": "photograph {}",
}


def png(number):
    import io

    buffer = io.BytesIO()
    numbered_image(number).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Copies of all datasets, and which image each caption belongs to."""
    root = tmp_path_factory.mktemp("data")
    owners = {text.format(n): n for n in range(PHOTOGRAPHS) for text in WORDS.values()}
    single = [(png(number), caption) for caption, number in owners.items()]
    grouped = [(png(n), [text.format(n) for text in WORDS.values()]) for n in range(PHOTOGRAPHS)]
    pairs = []
    for _, concept in itertools.product(range(PHOTOGRAPHS), ("object", "color", "size")):
        first, second = 100 + len(pairs), 200 + len(pairs)
        texts = f"before {len(pairs)}", f"after {len(pairs)}"
        owners |= {texts[0]: first, texts[1]: second}
        pairs.append(
            {
                "concept": concept,
                "coco_caption": texts[0],
                "coco_image": png(first),
                "inpaint_caption": texts[1],
                "inpaint_image": png(second),
            }
        )
    data = {
        "inpaintcoco": builders.write_inpaintcoco(root / "inpaintcoco", pairs),
        "coco": builders.write_coco_hub(root / "coco", grouped),
        "flickr30k": builders.write_flickr30k_hub(root / "flickr30k", single),
        "sbu": builders.write_sbu_hub(root / "sbu", single),
        "fashion200k": builders.write_fashion200k_hub(root / "fashion200k", single),
        "nasa_earth": builders.write_nasa_hub(root / "nasa", single),
        "oldbooks": builders.write_oldbooks_hub(root / "oldbooks", single),
    }
    return {name: str(path) for name, path in data.items()}, owners


def run(world, kind, **options):
    data, owners = world
    outcomes = {}
    results = clipbench.evaluate(
        oracle(kind, owners, **options),
        "paper",
        data=data,
        allow_missing=True,
        on_sample=lambda task, outcome: outcomes.setdefault(task, []).append(outcome),
    )
    return results, outcomes


def test_the_paper_is_22_tasks():
    assert len(select_tasks("paper")) == 22
    assert sum(task.task_type == "ranking" for task in select_tasks("paper")) == 18
    assert {task.task_type for task in known_tasks()} >= {"pairs", "ranking", "retrieval"}


def test_a_perfect_model_is_perfect(world):
    results, _ = run(world, "perfect")
    assert len(results.tasks) == 22
    assert not results.failed
    for name, report in results.tasks.items():
        assert {measure.value for measure in report.metrics.values()} == {1.0}, name
        assert report.chance_corrected == 1.0
        assert report.tied == 0
        assert report.counts.effective == PHOTOGRAPHS
    assert results.groups["coco"].mean.value == 1.0


@pytest.mark.parametrize(("kind", "tied"), [("constant", True), ("reversed", False)])
def test_a_constant_model_and_a_reversed_one_are_never_right(world, kind, tied):
    results, outcomes = run(world, kind)
    for name, found in outcomes.items():
        assert all(value == 0 for outcome in found for value in outcome.values.values()), name
        if tied:
            assert all(outcome.tied for outcome in found)
            assert results.tasks[name].tied == len(found)
        assert results.metric(name, results.tasks[name].primary_metric) == 0


def test_a_model_of_nans_scores_nothing_and_says_where(world):
    results, outcomes = run(world, "nan")
    assert not outcomes
    assert len(results.failed) == 22
    for name, report in results.tasks.items():
        assert "is not finite" in report.error
        assert re.match(f"{name}: oracle: the feature of (image|text) ", report.error)
        assert math.isnan(results.metric(name, report.primary_metric))


def test_a_random_model_scores_what_its_features_give(world):
    """Each decision, worked out anew from the oracle's features alone."""
    results, outcomes = run(world, "random")
    _, owners = world

    def similar(number, text):
        return float(unit(f"image {number}") @ unit(text))

    for outcome in outcomes["coco_object"] + outcomes["sbu_color"] + outcomes["oldbooks_location"]:
        caption, *others = outcome.record["texts"]
        own = similar(owners[caption], caption)
        assert outcome.values["acc"] == all(own > similar(owners[caption], other) for other in others)
    for outcome in outcomes["inpaintcoco_size"]:
        first, second = outcome.record["texts"]
        c, p = owners[first], owners[second]
        right = similar(c, first) > similar(p, first) and similar(p, second) > similar(c, second)
        assert outcome.values["acc"] == right
    captions = [WORDS["object"].format(number) for number in range(PHOTOGRAPHS)]  # the first ones
    for outcome in outcomes["coco_retrieval_first"]:
        if outcome.group == "t2i":
            (caption,) = outcome.record["texts"]
            scores = [similar(n, caption) for n in range(PHOTOGRAPHS)]
            rank = 1 + sum(score > scores[owners[caption]] for score in scores)
        else:
            number = owners[outcome.record["texts"][0]]
            ranked = sorted(captions, key=lambda caption: -similar(number, caption))
            rank = 1 + min(place for place, caption in enumerate(ranked) if owners[caption] == number)
        assert outcome.record["rank"] == rank
    values = [outcome.values["acc"] for outcome in outcomes["sbu_color"]]
    assert results.metric("sbu_color", "acc") == pytest.approx(np.mean(values))


def test_scores_do_not_depend_on_memory_and_batches(world):
    whole, _ = run(world, "random")
    small, _ = run(world, "random", most=3)
    assert {name: task.metrics for name, task in whole.tasks.items()} == {
        name: task.metrics for name, task in small.tasks.items()
    }


def test_every_task_declares_what_a_reader_needs():
    for task in select_tasks("paper"):
        declared = task.dataset
        assert task.version >= 1
        assert task.expected_n
        assert 0 < task.chance < 1
        assert task.primary_metric in task.metrics
        assert declared.license
        assert declared.citation
        assert declared.homepage.startswith("https://")
        assert declared.instructions
        assert task.__doc__


def test_hub_datasets_are_pinned_to_a_commit():
    """Except those whose commit is not known yet: they read `main`, and results record the commit."""
    known = {task.dataset.name: task.dataset.hub for task in select_tasks("paper")}
    unpinned = {name for name, hub in known.items() if hub and not re.fullmatch("[0-9a-f]{40}", hub.revision)}
    assert unpinned <= {"coco", "flickr30k", "inpaintcoco", "nasa_earth", "oldbooks"}
    assert all(known[name].revision == "main" for name in unpinned)
