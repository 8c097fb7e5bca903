import pytest
import torch

from clipbench.errors import ModelError
from clipbench.inference.embedding_cache.feature_key import feature_key_of
from clipbench.models import load_model
from clipbench.models.compiling import compile_towers
from tests.models.conftest import TEXTS, assert_same_directions
from tests.oracles import oracle


@pytest.mark.parametrize("library", [0, 1], ids=["transformers", "open_clip"])
def test_compiled_towers_give_the_same_features_and_say_so(pair, image, library):
    plain, compiled = load_model(str(pair[library])), load_model(str(pair[library]))
    before, size = feature_key_of(plain).key, plain.preprocess(image).shape
    # torch's own tracing, without the compiler of kernels, which takes minutes
    compile_towers(compiled, backend="eager")
    with torch.no_grad():
        for count in (2, 5):
            pixels = torch.rand(count, *size, generator=torch.Generator().manual_seed(count))
            assert_same_directions(compiled.image_features(pixels), plain.image_features(pixels), 1e-5)
        for texts in (TEXTS, TEXTS[2:]):
            tokens = plain.tokenize(texts)
            assert_same_directions(compiled.text_features(tokens), plain.text_features(tokens), 1e-5)
            rows = plain.packed_text.pack(tokens)
            assert_same_directions(compiled.packed_text.features(rows), plain.packed_text.features(rows), 1e-5)
    assert (plain.info.compiled, compiled.info.compiled) == (False, True)
    assert compiled.fingerprint == plain.fingerprint
    assert feature_key_of(compiled).key != before == feature_key_of(plain).key


def test_what_cannot_be_compiled_is_an_error_in_one_line(pair):
    model = load_model(str(pair[0]))
    with pytest.raises(ModelError, match=r"torch.compile failed \(.*\): leave torch_compile out$"):
        compile_towers(model, backend="no such backend")
    assert not model.info.compiled
    with pytest.raises(ModelError, match="does not show its towers"):
        compile_towers(oracle("random", {}))


def test_features_that_change_are_refused(pair):
    model = load_model(str(pair[0]))

    def scaled(graph, inputs):
        return lambda *args: tuple(
            part + 1e-2 * torch.arange(part.shape[-1]) if part.is_floating_point() else part for part in graph(*args)
        )

    with pytest.raises(ModelError, match="compiled features differ by"):
        compile_towers(model, backend=scaled)
