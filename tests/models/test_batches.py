"""Features do not depend on how inputs are put into batches: exact but for rounding, which float32 keeps below 1e-6."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from clipbench.models import load_model

WORDS = "a small brown dog and two large red birds in front of the white house with long wooden fences".split()  # noqa: SIM905
# Of 1 to 100 words in turn, so that a batch holds short and long texts, and some that are cut at 77 tokens.
TEXTS = [" ".join((WORDS[n % 7 :] + WORDS * 6)[: (1, 3, 12, 100, 7, 30)[n % 6]]) + f" {n}" for n in range(64)]


@pytest.fixture(params=["transformers", "open_clip"])
def model(request, pair):
    return load_model(str(pair[["transformers", "open_clip"].index(request.param)]), dtype="float32", device="cpu")


def assert_equal_but_for_rounding(features, expected):
    """Relative to a feature's length: of its single values some are next to nothing."""
    error = (features - expected).norm(dim=1) / expected.norm(dim=1)
    assert error.max().item() <= 1e-6


@pytest.mark.parametrize("size", [1, 3])
@torch.no_grad()
def test_texts_of_different_lengths(model, size):
    tokens = model.tokenize(TEXTS)
    assert 0 < sum(tokens.truncated) < len(TEXTS)
    together = model.text_features(tokens)
    batches = [TEXTS[start : start + size] for start in range(0, len(TEXTS), size)]
    lengths = {model.tokenize(batch).inputs["input_ids"].shape[1] for batch in batches}
    assert len(lengths) > 2  # batches are cut to their longest text, so this is not the same sum each time
    assert_equal_but_for_rounding(
        torch.cat([model.text_features(model.tokenize(batch)) for batch in batches]), together
    )


@pytest.mark.parametrize("size", [1, 3])
@torch.no_grad()
def test_images(model, size):
    gradient = Image.linear_gradient("L").resize((48, 40))
    pictures = [
        Image.merge("RGB", (gradient.rotate(5 * n), gradient.rotate(90 - 3 * n), gradient.point(lambda v, n=n: v ^ n)))
        for n in range(64)
    ]
    pixels = torch.stack([model.preprocess(picture) for picture in pictures])
    together = model.image_features(pixels)
    assert_equal_but_for_rounding(torch.cat([model.image_features(batch) for batch in pixels.split(size)]), together)
