import time

import numpy as np
import pytest

from clipbench.inference.profile import Profile
from clipbench.inference.scorer import Scorer
from tests.inference.test_scorer import make_samples
from tests.oracles import oracle
from tests.seeded import seeded_clip


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_stages_within_a_stage_are_not_counted_twice(clock):
    profile = Profile()
    with profile.stage("score"):
        clock(1)
        with profile.stage("text tower"):
            clock(10)
            with profile.stage("tokenize"):
                clock(100)
            clock(1000)
        clock(5)
    clock(7)  # nobody's
    with profile.stage("score"):
        clock(2)
    assert dict(profile.seconds) == {"score": 8, "text tower": 1010, "tokenize": 100}


def test_a_stage_that_fails_is_counted_and_left(clock):
    profile = Profile()

    def fail():
        with profile.stage("score"), profile.stage("read"):
            clock(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with profile.stage("score"):
        clock(4)
    assert dict(profile.seconds) == {"score": 4, "read": 3}


def test_work_beside_does_not_stop_the_clock_of_the_main_thread(clock):
    profile = Profile()
    with profile.stage("wait for images"), profile.thread_stage("decode"):
        clock(3)
    assert dict(profile.seconds) == {"wait for images": 3, "decode": 3}


def test_images_texts_and_tokens_are_counted():
    with Scorer(oracle("random", {}), batch_size=4) as scorer:
        list(scorer.similarities(make_samples(40, texts=3, images=7), "data"))
        list(scorer.similarities(make_samples(40, texts=3, images=7), "data"))
        summary = scorer.profile.summary(context_length=77)
    assert summary["images"] == 7  # once for both
    assert (summary["texts"], summary["texts_asked"]) == (240, 240)
    assert summary["tokens"] == 240  # the oracle has one a text
    assert summary["tokens_asked"] == 240 * 77


def test_packed_texts_cost_fewer_tokens_than_they_have():
    model = seeded_clip("tiny")
    assert model.packed_text
    with Scorer(model) as scorer:
        tokens = model.tokenize(["text 1 a"]).inputs["input_ids"].numel()
        list(scorer.similarities(make_samples(8, texts=3, images=2), "data"))
        assert 0 < scorer.profile.tokens < 24 * tokens
        assert scorer.profile.texts == 24


def test_scores_of_a_real_model_do_not_depend_on_batches_workers_or_order():
    model = seeded_clip("tiny")
    samples = make_samples(30, images=11)

    def scores(samples, **options):
        with Scorer(model, **options) as scorer:
            return {one.sample.id: one.similarities for one in scorer.similarities(samples, "data")}

    expected = scores(samples)
    for found in (scores(samples, batch_size=1), scores(samples[::-1], batch_size=5, workers=4)):
        for name, matrix in expected.items():
            np.testing.assert_allclose(found[name], matrix, atol=1e-6)
            assert (np.argmax(found[name], axis=1) == np.argmax(matrix, axis=1)).all()
