import tracemalloc

import numpy as np
import pytest
import torch

from clipbench.errors import DataError, ModelError
from clipbench.inference import scorer as scorer_module
from clipbench.inference.batching import BatchSize
from clipbench.inference.scorer import Scorer
from clipbench.types import ImageRef, Sample, SampleError
from clipbench.utils.counting import ClusteredMean
from tests.oracles import DIM, OracleModel, numbered_image, oracle, unit


def image(number, opened=None):
    def open_image():
        if opened is not None:
            opened.append(number)
        return numbered_image(number)

    return ImageRef(f"{number}.png", open_image, content=str(number).encode)


def make_samples(count, texts=3, opened=None, images=7):
    return [
        Sample(f"s{i}", (image(i % images, opened),), [f"text {i} {k}" for k in range(texts)], "g", f"{i % images}")
        for i in range(count)
    ]


def matrices(model, samples, **options):
    with Scorer(model, **options) as scorer:
        return {scored.sample.id: scored.similarities for scored in scorer.similarities(samples, "data")}


def test_similarities_are_cosines_of_the_samples_own_features():
    found = matrices(oracle("random", {}), make_samples(5))
    expected = [[float(unit("image 4") @ unit(f"text 4 {k}")) for k in range(3)]]
    np.testing.assert_allclose(found["s4"], expected, atol=1e-6)
    assert found["s4"].dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64, "auto"])
@pytest.mark.parametrize("workers", [1, 4])
def test_scores_do_not_depend_on_batch_size_workers_or_order(batch_size, workers):
    samples = make_samples(40)
    expected = matrices(oracle("random", {}), samples, batch_size=8)
    found = matrices(oracle("random", {}), samples[::-1], batch_size=batch_size, workers=workers)
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in found)


def test_an_image_is_decoded_and_encoded_once_for_all_tasks():
    opened = []
    model = oracle("random", {})
    with Scorer(model) as scorer:
        for _ in range(3):
            list(scorer.similarities(make_samples(600, opened=opened), "data"))
    assert sorted(opened) == list(range(7))
    assert sum(model.image_batches) == 7


def test_the_same_key_in_another_dataset_is_another_image():
    opened = []
    with Scorer(oracle("random", {})) as scorer:
        list(scorer.similarities(make_samples(3, opened=opened), "one"))
        list(scorer.similarities(make_samples(3, opened=opened), "another"))
    assert sorted(opened) == [0, 0, 1, 1, 2, 2]


def test_a_text_that_repeats_within_a_chunk_is_encoded_once():
    model = oracle("random", {})
    samples = [Sample(f"s{i}", (image(i),), ["same", "other"], "g", "c") for i in range(10)]
    matrices(model, samples)
    assert sum(model.text_batches) == 2


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 0.0])
def test_a_feature_that_cannot_be_used_names_its_image_or_text(bad):
    def text(words):
        return torch.full((DIM,), bad) if words == "text 4 1" else unit(words)

    def picture(number):
        return torch.full((DIM,), bad) if number == 5 else unit(str(number))

    with pytest.raises(ModelError, match="'text 4 1' is not finite or is zero"):
        matrices(OracleModel(lambda number: unit(str(number)), text), make_samples(6))
    with pytest.raises(ModelError, match="image 5.png is not finite or is zero"):
        matrices(OracleModel(picture, unit), make_samples(6))


def test_a_broken_image_costs_its_samples_and_no_others():
    def broken():
        raise DataError("2.png: truncated")

    samples = make_samples(6)
    samples[2] = Sample("s2", (image(0), ImageRef("2.png", broken)), ["a", "b"], "g", "c")
    found = matrices(oracle("random", {}), samples)
    assert found["s2"] == SampleError("s2", "2.png", "2.png: truncated")
    assert all(isinstance(found[f"s{i}"], np.ndarray) for i in (0, 1, 3, 4, 5))


def test_batches_halve_when_memory_runs_out_and_nothing_is_lost_or_done_twice():
    model = oracle("random", {}, most=5)
    samples = make_samples(40, images=40)
    found = matrices(model, samples, batch_size=64)
    expected = matrices(oracle("random", {}), samples)
    assert all((found[name] == expected[name]).all() for name in expected)
    assert max(model.image_batches) == 4
    assert sum(model.image_batches) == 40
    assert sum(model.text_batches) == 120


def test_a_single_item_that_does_not_fit_is_an_error():
    with pytest.raises(ModelError, match="out of memory with a single item"):
        matrices(oracle("random", {}, most=0), make_samples(1))


def test_other_errors_are_not_taken_for_memory():
    def encode(items):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        list(BatchSize(8, automatic=64).split([1, 2], encode))


def test_scores_are_fp32_whatever_the_encoders_precision():
    def text(words):
        return unit(words).bfloat16()

    found = matrices(OracleModel(lambda number: unit(str(number)).bfloat16(), text), make_samples(1))["s0"]
    rows = torch.stack([text(f"text 0 {k}").float() for k in range(3)])
    expected = torch.nn.functional.normalize(rows) @ torch.nn.functional.normalize(unit("0").bfloat16().float(), dim=0)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-6)


def test_cut_texts_are_counted_once_each():
    with Scorer(oracle("random", {}, most=1), batch_size=4) as scorer:
        list(scorer.similarities([Sample("s", (image(1),), ["short", "x" * 300, "y" * 300], "g", "c")], "data"))
        assert scorer.truncated_texts == 2


def test_a_decoding_thread_that_dies_is_an_error_and_no_silent_exit():
    def leave():
        raise SystemExit(0)

    samples = [Sample("s", (ImageRef("1.png", leave),), ["a", "b"], "g", "c")]
    with pytest.raises(RuntimeError, match=r"image 1\.png: the thread that decodes it died: SystemExit"):
        matrices(oracle("random", {}), samples)


def test_features_are_kept_for_a_later_task_and_few_where_there_is_none(monkeypatch):
    monkeypatch.setattr(scorer_module, "RECENT_IMAGES", 300)
    for images_return, encoded in ((True, 1000), (False, 2000)):
        model = oracle("random", {})
        with Scorer(model) as scorer:
            for _ in range(2):
                scorer.begin("task", images_return=images_return)
                list(scorer.similarities(make_samples(1000, texts=2, images=1000), "data"))
            assert len(scorer._images._features) == (1000 if images_return else 300)
        assert sum(model.image_batches) == encoded


def test_memory_does_not_grow_with_the_number_of_samples():
    def peak(count):
        total = ClusteredMean()
        tracemalloc.start()
        with Scorer(oracle("random", {})) as scorer:
            scorer.begin("task", images_return=False)
            scorer._images.capacity = 256
            for scored in scorer.similarities(generated(count), "data"):
                total.add(1.0, scored.sample.cluster)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total.clusters == count
        return found

    def generated(count):
        for index in range(count):
            ref = ImageRef(f"{index}.png", lambda number=index % 50: numbered_image(number))
            yield Sample(f"{index}", (ref,), ["left", "right"], "g", f"{index}")

    peak(600)
    assert peak(6000) < 1.25 * peak(1200) + 1e6
