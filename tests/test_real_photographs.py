"""Real COCO photographs through both libraries' formats, against a slow reference on transformers."""

import numpy as np
import pytest

import clipbench
from clipbench.concepts import load_concept
from tests.reference.clip_scores import ReferenceClip, rank_captions, retrieval, retrieval_ranks
from tests.seeded import build_clip

TASKS = "coco_color,coco_location,coco_retrieval"


@pytest.fixture(scope="module")
def tiny_clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return {
        library: build_clip(root / library, "tiny", seed=3, library=library)
        for library in ("transformers", "open_clip")
    }


@pytest.fixture(scope="module")
def runs(tiny_clips, coco_folder):
    found = {}
    for library, folder in tiny_clips.items():
        outcomes = []
        results = clipbench.evaluate(
            str(folder),
            TASKS,
            model_args={"center_crop": "transformers"} if library == "open_clip" else {},
            data={"coco": str(coco_folder)},
            allow_missing=True,
            on_sample=lambda task, outcome, kept=outcomes: kept.append((task, outcome)),
        )
        assert not results.failed
        found[library] = results, outcomes
    return found


def test_what_was_there_is_what_was_scored(runs):
    results, _ = runs["transformers"]
    assert results.tasks["coco_color"].counts.original == 3_907
    assert results.tasks["coco_color"].counts.effective == 176
    assert results.tasks["coco_location"].counts.effective == 106
    assert results.tasks["coco_retrieval"].counts.effective == 214
    assert results.tasks["coco_retrieval"].missing_images == 5_000 - 214
    assert not results.tasks["coco_color"].complete


def test_both_formats_of_the_same_weights_score_the_same(runs):
    (ours, outcomes), (theirs, other_outcomes) = runs["transformers"], runs["open_clip"]
    assert {name: task.metrics for name, task in ours.tasks.items()} == {
        name: task.metrics for name, task in theirs.tasks.items()
    }
    for (task, one), (_, other) in zip(outcomes, other_outcomes, strict=True):
        assert one.sample_id == other.sample_id
        assert one.values == other.values, task
        np.testing.assert_allclose(one.record["scores"], other.record["scores"], atol=1e-5)


@pytest.mark.parametrize("name", ["color", "location"])
def test_every_ranking_decision_is_the_references(runs, tiny_clips, coco_folder, name):
    substitutions = dict(load_concept(name).replacements)
    reference = rank_captions(ReferenceClip(tiny_clips["transformers"]), coco_folder, substitutions)
    _, outcomes = runs["transformers"]
    found = [outcome for task, outcome in outcomes if task == f"coco_{name}"]
    assert len(found) == len(reference) > 100
    for outcome in found:
        expected = reference[outcome.record["images"][0], outcome.record["texts"][0]]
        np.testing.assert_allclose(outcome.record["scores"], expected, atol=1e-5)
        assert outcome.values["acc"] == (expected[0] > max(expected[1:]))


def test_every_rank_is_the_references(runs, tiny_clips, coco_folder):
    clip = ReferenceClip(tiny_clips["transformers"])
    expected = retrieval_ranks(clip, coco_folder)
    results, outcomes = runs["transformers"]
    found = {}
    for task, outcome in outcomes:
        if task == "coco_retrieval":
            place = outcome.sample_id.partition("#")[1:]
            found[outcome.group, outcome.record["images"][0] + "".join(place)] = outcome.record["rank"]
    assert found == expected
    for name, value in retrieval(clip, coco_folder).items():
        assert results.metric("coco_retrieval", name) == pytest.approx(value, abs=1e-12)
