"""OpenAI's archives: read without running them."""

from __future__ import annotations

import pickle
import zipfile

import open_clip
import pytest
import torch

from clipbench.errors import ModelError
from clipbench.models import load_model
from clipbench.models.open_clip.torchscript import is_jit_archive, read_jit_archive
from tests.models.conftest import TEXTS, assert_same_directions


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A CLIP in OpenAI's format, half of its weights in fp16, scripted and saved; and the network itself."""
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
    network = open_clip.CLIP(32, vision, text, quick_gelu=True).eval()
    with torch.no_grad():
        network.token_embedding.weight.mul_(20)
    open_clip.convert_weights_to_fp16(network)
    network = network.float()  # as they are once loaded: values of fp16 in fp32
    network.register_buffer("input_resolution", torch.tensor(32))
    inputs = {"encode_image": (torch.ones(1, 3, 32, 32),), "encode_text": (torch.zeros(1, 77, dtype=torch.long),)}
    path = tmp_path_factory.mktemp("jit") / "ViT-tiny.pt"
    torch.jit.trace_module(network, inputs).save(str(path))
    return path, network


@torch.no_grad()
def test_archive_gives_the_features_of_the_network_in_it(archive, image):
    path, network = archive
    assert is_jit_archive(path)
    model = load_model(str(path))
    assert model.info.activation == {"text": "quick_gelu", "image": "quick_gelu"}
    ids = open_clip.tokenize(TEXTS)
    assert_same_directions(model.text_features(model.tokenize(TEXTS)), network.encode_text(ids))
    pixels = model.preprocess(image)[None]
    assert_same_directions(model.image_features(pixels), network.encode_image(pixels))


def test_every_weight_is_read(archive):
    path, network = archive
    state = read_jit_archive(path)
    expected = network.state_dict()
    assert set(expected) <= set(state)
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_saved_archive_is_an_ordinary_checkpoint(archive, tmp_path):
    model = load_model(str(archive[0]))
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    assert torch.equal(again.text_features(again.tokenize(TEXTS)), model.text_features(model.tokenize(TEXTS)))


def test_an_archive_with_other_names_in_it_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "bad.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bad/data.pkl", pickle.dumps(Harmful(), protocol=2))
        file.writestr("bad/constants.pkl", b"")
    with pytest.raises(ModelError, match="refused"):
        load_model(str(path))
    assert not (tmp_path / "ran").exists()


def test_a_cut_archive_is_an_error(archive, tmp_path):
    short = tmp_path / "short.pt"
    with zipfile.ZipFile(archive[0]) as whole, zipfile.ZipFile(short, "w") as cut:
        for name in whole.namelist():
            data = whole.read(name)
            cut.writestr(name, data[: len(data) // 2] if "/data/" in name else data)
    with pytest.raises(ModelError, match="damaged"):
        load_model(str(short))
