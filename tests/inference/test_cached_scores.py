"""What a persistent cache of embeddings must not change, and what it must spare."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import clipbench
from clipbench.errors import DataError, ModelError
from clipbench.inference.embedding_cache import EmbeddingCache
from clipbench.inference.embedding_cache.feature_key import feature_key_of
from clipbench.inference.embedding_cache.maintenance import list_spaces, verify
from clipbench.inference.scorer import Scorer
from clipbench.types import ImageRef, Sample
from tests.inference.embedding_cache.models import Vouched
from tests.oracles import numbered_image, unit
from tests.seeded import seeded_clip
from tests.toy import write_toy

ROOT = Path(__file__).parents[2]
COLORS = ("white", "red", "blue", "green", "black")


def image(number, content=True):
    return ImageRef(
        f"{number}.png", lambda: numbered_image(number), content=(lambda: str(number).encode()) if content else None
    )


def make_samples(numbers, texts=3, content=True):
    return [
        Sample(f"s{i}", (image(i, content),), [f"text {i} {k}" + "x" * 300 * (k == 2) for k in range(texts)], "g", "c")
        for i in numbers
    ]


def score(model, samples, folder, notes=None):
    cache = (
        EmbeddingCache(folder, feature_key_of(model), (notes if notes is not None else []).append) if folder else None
    )
    with Scorer(model, batch_size=16, cache=cache) as scorer:
        found = {one.sample.id: one.similarities for one in scorer.similarities(samples, "data")}
        return found, scorer.truncated_texts


def assert_same(found, expected):
    assert found[0].keys() == expected[0].keys()
    assert all(np.array_equal(found[0][name], expected[0][name]) for name in expected[0])
    assert found[1] == expected[1]


@pytest.mark.parametrize("before", [range(0), range(40), range(25, 60), range(0, 40, 3)])
def test_scores_and_counts_are_those_without_a_cache_however_full_it_is(tmp_path, before):
    samples = make_samples(range(40))
    expected = score(Vouched(), samples, None)
    assert expected[1] == 40
    score(Vouched(), make_samples(before), tmp_path)
    model = Vouched()
    for _ in range(2):
        assert_same(score(model, samples, tmp_path), expected)
    missing = 40 - len(set(before) & set(range(40)))
    assert model.encoded == (missing, 3 * missing)


def test_a_warm_run_opens_no_image(tmp_path):
    score(Vouched(), make_samples(range(30)), tmp_path)
    model = Vouched()
    score(model, make_samples(range(30)), tmp_path)
    assert model.decoded == 2  # the two images of noise that tell preprocessors apart
    assert model.encoded == (0, 0)


def test_another_models_embeddings_are_not_served(tmp_path):
    samples = make_samples(range(10))
    score(Vouched(1.0), samples, tmp_path)
    other = Vouched(2.0)
    assert_same(score(other, samples, tmp_path), score(Vouched(2.0), samples, None))
    assert other.encoded == (10, 30)


def test_images_that_nothing_vouches_for_are_encoded_each_time(tmp_path):
    samples = make_samples(range(10), content=False)
    score(Vouched(), samples, tmp_path)
    model = Vouched()
    score(model, samples, tmp_path)
    assert model.encoded == (10, 0)


def test_nothing_broken_is_kept(tmp_path):
    def broken():
        raise DataError("no such image")

    samples = make_samples(range(4))
    samples.append(Sample("bad", (ImageRef("b", broken, content=lambda: b"b"),), ["text"], "g", "c"))
    samples.append(Sample("gone", (ImageRef("g", broken, content=broken),), ["text"], "g", "c"))
    for _ in range(2):
        found, _ = score(Vouched(), samples, tmp_path)
        assert found["bad"].reason == found["gone"].reason == "no such image"
    assert list_spaces(tmp_path)[0].images == 4


@pytest.mark.parametrize("side", ["image", "text"])
def test_features_that_are_not_finite_are_not_kept(tmp_path, side):
    model = Vouched()
    setattr(model, side, lambda _: torch.full((64,), torch.nan))
    with pytest.raises(ModelError, match="not finite"):
        score(model, make_samples(range(4)), tmp_path)
    (space,) = list_spaces(tmp_path) or [None]
    # Texts are encoded before images: what was right is kept.
    assert (space and (space.images, space.texts)) == ((0, 12) if side == "image" else None)


def test_a_damaged_shard_is_encoded_again_and_the_scores_stay(tmp_path):
    samples = make_samples(range(600))
    expected = score(Vouched(), samples, tmp_path)
    shard = next(iter(sorted(tmp_path.rglob("images-*"))))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x01")
    model, notes = Vouched(), []
    assert_same(score(model, samples, tmp_path, notes), expected)
    images, texts = model.encoded
    assert 0 < images < 600
    assert texts == 0
    assert len(notes) == 1
    assert "must be encoded again" in notes[0]
    assert list(verify(tmp_path)) == []


def test_memory_that_runs_out_costs_nothing_but_time(tmp_path):
    samples = make_samples(range(40))
    expected = score(Vouched(), samples, None)
    assert_same(score(Vouched(most=5), samples, tmp_path), expected)
    assert_same(score(Vouched(), samples, tmp_path), expected)


RUN = """
import sys, time
from pathlib import Path
from tests.inference.embedding_cache.models import Vouched
from tests.inference.test_cached_scores import make_samples, score

class Slow(Vouched):
    def image_features(self, pixels):
        time.sleep(0.02)
        return super().image_features(pixels)

score(Slow(), make_samples(range(1300)), Path(sys.argv[1]))
"""


def test_what_a_killed_run_had_encoded_is_not_encoded_again(tmp_path):
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], cwd=ROOT)
    while len(list(tmp_path.rglob("images-*.safetensors"))) < 2:
        assert run.poll() is None
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    kept = list_spaces(tmp_path)[0]
    assert 2 * 256 <= kept.images < 1300
    model, samples = Vouched(), make_samples(range(1300))
    assert_same(score(model, samples, tmp_path), score(Vouched(), samples, None))
    assert model.encoded == (1300 - kept.images, 3900 - kept.texts)


def numbers(results):
    """All of a results file that does not speak of time or of how it was asked for."""
    return results.groups, {name: result.model_dump(exclude={"seconds"}) for name, result in results.tasks.items()}


@pytest.fixture
def tasks(tmp_path):
    """A ranking and a retrieval over the same photographs, many of whose texts are the same."""
    captions = [f"a {COLORS[n % 5]} {('dog', 'car', 'boat')[n % 3]} number {n // 2}" for n in range(30)]
    ranking = write_toy(tmp_path / "toy", captions)
    return [str(ranking), str(write_toy(tmp_path / "toy", captions, name="toys", task_type="retrieval", concept=None))]


def test_results_of_a_real_model_are_equal_to_the_last_digit(tmp_path, tasks):
    model = seeded_clip("tiny")
    expected = numbers(clipbench.evaluate(model, tasks, batch_size=16))
    cold = numbers(clipbench.evaluate(model, tasks, batch_size=16, use_cache=tmp_path / "whole"))
    warm = numbers(clipbench.evaluate(model, tasks, batch_size=16, use_cache=tmp_path / "whole"))
    clipbench.evaluate(model, tasks, limit=11, use_cache=tmp_path / "part")
    part = numbers(clipbench.evaluate(model, tasks, batch_size=16, use_cache=tmp_path / "part"))
    assert cold == expected
    assert warm == expected
    assert part == expected


def test_scores_of_a_warm_run_are_the_cold_ones_to_the_bit(tmp_path, tasks):
    model = seeded_clip("tiny")

    def logged():
        found = []
        clipbench.evaluate(model, tasks, use_cache=tmp_path / "cache", on_sample=lambda _, one: found.append(one))
        return found

    assert logged() == logged()


def test_an_exchanged_photograph_is_noticed_whatever_its_size_and_date_say(tmp_path):
    file = write_toy(tmp_path / "toy")
    picture = tmp_path / "toy/0.png"
    before = picture.stat()
    clipbench.evaluate(Vouched(), str(file), use_cache=tmp_path / "cache")
    numbered_image(9).save(picture)
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert picture.stat().st_size == before.st_size
    model = Vouched()
    found = clipbench.evaluate(model, str(file), use_cache=tmp_path / "cache")
    assert model.encoded == (1, 0)
    assert numbers(found) == numbers(clipbench.evaluate(Vouched(), str(file)))


def test_a_mended_photograph_is_encoded(tmp_path):
    file = write_toy(tmp_path / "toy")
    picture = tmp_path / "toy/1.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:50])
    options = {"use_cache": tmp_path / "cache", "allow_missing": True}
    assert clipbench.evaluate(Vouched(), str(file), **options).tasks["toy_color"].broken_images == 1
    assert clipbench.evaluate(Vouched(), str(file), **options).tasks["toy_color"].broken_images == 1
    picture.write_bytes(whole)
    assert clipbench.evaluate(Vouched(), str(file), **options).tasks["toy_color"].counts.effective == 2


def test_the_same_photographs_in_another_folder_or_table_are_known(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, moved = write_toy(tmp_path / "a"), write_toy(tmp_path / "b", name="moved")
    clipbench.evaluate(Vouched(), str(first), use_cache=tmp_path / "cache")
    model = Vouched()
    clipbench.evaluate(model, str(moved), use_cache=tmp_path / "cache")
    assert model.encoded == (0, 0)
    (tmp_path / "c").mkdir()
    rows = [{"image": {"bytes": (tmp_path / f"a/{n}.png").read_bytes(), "path": None}} for n in range(2)]
    captions = ["a white dog", "a red car on the left"]
    table = pa.Table.from_pylist([{**row, "caption": text} for row, text in zip(rows, captions, strict=True)])
    pq.write_table(table, tmp_path / "c/toy.parquet")
    clipbench.evaluate(
        model, str(first), data={"toy_color": str(tmp_path / "c/toy.parquet")}, use_cache=tmp_path / "cache"
    )
    assert model.encoded == (0, 0)


def test_cut_captions_are_reported_from_the_cache_too(tmp_path):
    file = str(write_toy(tmp_path / "toy", ["a white dog " + "and so on " * 30]))
    for _ in range(2):
        found = clipbench.evaluate(Vouched(), file, use_cache=tmp_path / "cache")
        assert found.tasks["toy_color"].truncated_texts == 9


def test_without_the_option_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "cache"))
    clipbench.evaluate(Vouched(), str(write_toy(tmp_path / "toy")))
    assert not (tmp_path / "cache").exists()


def test_notes_reach_the_caller(tmp_path):
    notes = []
    model = Vouched(fingerprint="v1")
    clipbench.evaluate(model, str(write_toy(tmp_path / "toy")), use_cache=tmp_path / "cache", on_note=notes.append)
    assert "'v1' is no digest" in notes[0]
    assert not (tmp_path / "cache").exists()


def test_images_and_texts_of_one_name_are_two_things(tmp_path):
    """The keys of an image and a text with the same bytes must differ, or one would be served for the other."""
    ref = ImageRef("a", lambda: numbered_image(1), content=lambda: b"same")
    expected = unit("image 1 1.0") @ unit("same 1.0")
    for _ in range(2):
        found, _ = score(Vouched(), [Sample("s", (ref,), ["same"], "g", "c")], tmp_path)
        assert found["s"][0, 0] == pytest.approx(float(expected), abs=1e-6)
