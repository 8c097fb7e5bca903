"""A byte a value, and back to the very bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipbench.errors import ModelError
from clipbench.training.image_cache.codes import OffTable, PixelCodec, decode, find_codec, gather
from tests.training.plain_model import MEAN, STD, noise, plain_model


def bits(tensor):
    return tensor.numpy().view(np.uint32)


@pytest.mark.parametrize("convert", [decode, gather])
def test_decoding_is_looking_up_each_value_in_its_channels_table(convert):
    dice = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8, generator=dice)
    codes[0, :, 0, 0], codes[0, :, 0, 1] = 0, 255
    table = torch.randn(3, 256, generator=dice)
    expected = torch.tensor(
        [[[[table[c, code] for code in line] for line in image[c].tolist()] for c in range(3)] for image in codes]
    )
    assert torch.equal(convert(codes, table), expected)
    part = codes[:, :, 1:4, ::2]  # not contiguous
    assert torch.equal(convert(part, table), expected[:, :, 1:4, ::2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_decoding_on_a_gpu_gives_the_same_bits():
    codes = torch.randint(0, 256, (9, 3, 32, 31), dtype=torch.uint8)
    table = torch.randn(3, 256)
    assert torch.equal(decode(codes.cuda(), table.cuda()).cpu(), decode(codes, table))


def test_the_table_is_what_preprocessing_makes_of_each_level():
    codec = find_codec(plain_model())
    levels = np.arange(256, dtype=np.float32)[None] / 255
    expected = ((levels.repeat(3, 0) - MEAN[:, None]) / STD[:, None]).astype(np.float32)
    assert codec.shape == (3, 8, 8)
    np.testing.assert_array_equal(codec.table.numpy(), expected)


def test_encoding_finds_every_level_of_every_channel():
    table = find_codec(plain_model()).table
    codec = PixelCodec((3, 16, 16), table, "")
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    row = np.empty((3, 16, 16), np.uint8)
    codec.encode(table[:, order].reshape(3, 16, 16), row)
    np.testing.assert_array_equal(row.reshape(3, 256), order.numpy()[None].repeat(3, 0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30, 0.1234567, -0.0, "one ulp"])
def test_a_value_off_the_table_is_never_rounded_to_one_on_it(value):
    table = torch.linspace(-1, 1, 255).repeat(3, 1)
    table = torch.cat([table, torch.full((3, 1), 1.01)], dim=1)  # level 127 is 0.0
    table[:, 127] = 0.0
    codec = PixelCodec((3, 1, 2), table, "")
    pixels = table[:, [127, 9]].reshape(3, 1, 2).clone()
    row = np.empty((3, 1, 2), np.uint8)
    codec.encode(pixels, row)
    assert row[2, 0].tolist() == [127, 9]
    position = 0 if value == 0 else 1
    above = torch.nextafter(pixels[2, 0, position], torch.tensor(2.0))
    pixels[2, 0, position] = above if value == "one ulp" else value
    with pytest.raises(OffTable):
        codec.encode(pixels, row)


def standardised(values):
    return (values - values.mean()) / (values.std() + np.float32(1e-6))


UNEVEN = {
    "levels fall together": lambda v: np.round(v * 100) / 100,
    "order turns": lambda v: np.abs(v - np.float32(0.5)),
    "uneven steps": lambda v: v ** np.float32(2.2),
    "depends on the image": standardised,
    "float64": lambda v: v.astype(np.float64),
    "half": None,
}


@pytest.mark.parametrize("kind", UNEVEN)
def test_other_preprocessing_is_kept_as_floats(kind):
    model = plain_model(curve=UNEVEN[kind])
    if kind == "half":
        plain = model.preprocess
        model.preprocess = lambda image: plain(image).half()
    codec = find_codec(model)
    assert codec.table is None
    assert codec.dtype == np.float32
    pixels = model.preprocess(noise(3))
    row = np.empty(codec.shape, np.float32)
    codec.encode(pixels, row)
    np.testing.assert_array_equal(row, pixels.float().numpy())


def test_the_digest_tells_preprocessings_apart():
    models = [plain_model(), plain_model(9), plain_model(curve=lambda v: v * np.float32(0.999))]
    flipped = plain_model()  # the same table, other pixels
    plain = flipped.preprocess
    flipped.preprocess = lambda image: plain(image).flip(2)
    digests = [find_codec(model).digest for model in (*models, flipped)]
    assert len(set(digests)) == 4
    assert find_codec(plain_model()).digest == digests[0]


def test_images_of_different_shapes_are_refused():
    model = plain_model()
    plain = model.preprocess
    model.preprocess = lambda image: plain(image)[:, : 4 if image.width > image.height else 8]
    with pytest.raises(ModelError, match="cannot share a batch"):
        find_codec(model)
