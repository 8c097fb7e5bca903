"""Captions of other images that are nearest in a space of texts."""

import numpy as np
import pytest
import torch

from clipbench.training.negatives.neighbors import embed_captions, nearest_captions
from tests.models.builders import build_bert


def slow(features, captions, image_of, k, threshold):
    found = []
    for own in range(len(captions)):
        similar = {n: float(features[own].double() @ features[n].double()) for n in range(len(captions))}
        chosen = []
        for other in sorted(similar, key=lambda n: (-similar[n], n)):
            same = image_of[other] == image_of[own] or captions[other] in [captions[n] for n in [own, *chosen]]
            if not same and similar[other] <= threshold and len(chosen) < k:
                chosen.append(other)
        found.append(chosen)
    return found


@pytest.mark.parametrize(("n", "k"), [(40, 1), (40, 5), (700, 3), (3, 5)])
@pytest.mark.parametrize("threshold", [0.6, 2.0])
def test_the_nearest_are_those_of_a_slow_search(n, k, threshold):
    generator = torch.Generator().manual_seed(n + k)
    features = torch.nn.functional.normalize(torch.randn(n, 4, generator=generator), dim=1)
    captions = [f"caption {number % (n - n // 4)}" for number in range(n)]  # some texts are there twice
    image_of = np.arange(n) // 2
    assert nearest_captions(features, captions, image_of, k, threshold) == slow(
        features, captions, image_of, k, threshold
    )


def test_one_text_many_times_hides_no_other():
    """More copies of the nearest text than are looked at first."""
    features = torch.tensor([[1.0, 0.0], *[[0.9, 0.1]] * 60, [0.0, 1.0]])
    captions = ["own", *["copy"] * 60, "far"]
    assert nearest_captions(features, captions, np.arange(62), 2, 2.0)[0] == [1, 61]


def test_embeddings_are_unit_vectors_whatever_the_batch(tmp_path):
    folder = str(build_bert(tmp_path / "bert"))
    captions = ["a cat", "the red bird in front of a house", "two dogs", "a white cat on a table"]
    features = embed_captions(folder, captions, device="cpu", batch_size=3)
    assert torch.allclose(features.norm(dim=1), torch.ones(4))
    for number, caption in enumerate(captions):
        assert torch.allclose(embed_captions(folder, [caption], device="cpu")[0], features[number], atol=1e-5)
