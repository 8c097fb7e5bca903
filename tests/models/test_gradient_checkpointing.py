"""Gradient checkpointing: the same gradients from fewer kept tensors."""

import pytest
import torch
from PIL import Image

from clipbench.errors import ModelError
from clipbench.models import last_block, load_model
from clipbench.models.encoders import EncoderModel
from clipbench.models.gradient_checkpointing import checkpoint_gradients
from tests.seeded import build_clip


def gradients(model):
    """Gradients of a batch, and the bytes of activations that its graph keeps."""
    model.module.train()
    model.module.zero_grad()
    kept = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    pixels = torch.stack([model.preprocess(Image.new("RGB", (64, 64), (9 * n, 90, 200))) for n in range(8)])
    tokens = model.tokenize([f"a photo of {n} cats" for n in range(8)])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = model.image_features(pixels), model.text_features(tokens)
    (features[0] * features[1]).sum().backward()
    return {n: p.grad.clone() for n, p in model.module.named_parameters() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_same_gradients_less_memory(tmp_path, library, monkeypatch):
    # As blocks that are checkpointed are; otherwise the last ones would be computed at read tokens only.
    monkeypatch.setattr(last_block, "called_whole", lambda *modules: True)
    model = load_model(str(build_clip(tmp_path / "model", "tiny", seed=0, library=library)), device="cpu")
    expected, before = gradients(model)
    checkpoint_gradients(model)
    found, after = gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-8, msg=name)
    assert after < 0.6 * before


def test_a_network_without_it_is_named():
    class Encoders:
        encoder = torch.nn.Linear(3, 2)

        def encode_image(self, images):
            return torch.ones(len(images), 2)

        def encode_text(self, texts):
            return torch.ones(len(texts), 2)

    with pytest.raises(ModelError, match="has no gradient checkpointing: leave grad_checkpointing out"):
        checkpoint_gradients(EncoderModel(Encoders()))
