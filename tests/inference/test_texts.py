"""The plain text path: what is encoded one text after another, padded to the longest of a batch."""

import numpy as np
import pytest
import torch

from clipbench.inference import texts
from clipbench.inference.profile import Profile
from clipbench.inference.texts import TextEncoder
from clipbench.models import Tokens, load_model
from tests.models.builders import FAMILIES, build_clip
from tests.oracles import OracleModel, unit

WORDS = ["a", "red cat and a dog", "two", "a long boat on a river under a bridge", "bird", "a white horse runs"]


class Counted(OracleModel):
    """One token a letter; keeps the shapes of its batches, and runs out of memory above some tokens."""

    def __init__(self, room=10**9, trims=True):
        super().__init__(lambda number: unit(str(number)), unit)
        self.room, self.trims, self.shapes, self.encoded = room, trims, [], []

    def tokenize(self, texts):
        width = max(map(len, texts)) if self.trims else 77
        ids = torch.tensor([[*map(ord, text), *[0] * (width - len(text))] for text in texts])
        return Tokens({"input_ids": ids}, (False,) * len(texts), tuple(map(len, texts)) if self.trims else None)

    def text_features(self, tokens):
        ids = tokens.inputs["input_ids"]
        if ids.numel() > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        self.shapes.append(tuple(ids.shape))
        words = ["".join(chr(letter) for letter in row if letter) for row in ids.tolist()]
        self.encoded += words
        return torch.stack([self.text(word) for word in words])


@pytest.fixture
def budget(monkeypatch):
    """`auto` begins with 128 texts of this many tokens."""
    monkeypatch.setattr(texts, "_CONTEXT_LENGTH", 2)
    return 256


def some_texts(seed, count=200):
    lengths = np.random.default_rng(seed).integers(1, 60, count)
    return [f"{number:03d}".ljust(3 + length, "x") for number, length in enumerate(lengths)]


@pytest.mark.parametrize("seed", range(3))
def test_auto_fills_batches_by_tokens_and_encodes_every_text_once(budget, seed):
    model, profile, asked = Counted(), Profile(), some_texts(seed)
    found = TextEncoder(model, "auto", profile).features(asked)
    assert sorted(model.encoded) == sorted(asked)
    np.testing.assert_allclose(found, np.stack([unit(text) for text in asked]), atol=1e-6)
    sizes = [rows * width for rows, width in model.shapes]
    assert max(sizes) <= budget
    # One more text of the width would not have fitted.
    assert all((rows + 1) * width > budget for rows, width in model.shapes[:-1])
    assert profile.tokens == sum(sizes)
    assert profile.tokens < 1.15 * sum(map(len, asked))


def test_a_text_longer_than_the_budget_goes_alone(budget):
    model = Counted()
    asked = ["short", "y" * 300, "x" * 100, "x" * 101]
    found = TextEncoder(model, "auto", Profile()).features(asked)
    assert model.shapes == [(1, 300), (2, 101), (1, 5)]
    np.testing.assert_allclose(found, np.stack([unit(text) for text in asked]), atol=1e-6)


def test_a_given_batch_size_counts_texts(budget):
    model = Counted()
    TextEncoder(model, 3, Profile()).features(["x" * 300, "y" * 299, "z", "w", "vv", "u", "t"])
    assert [rows for rows, _ in model.shapes] == [3, 3, 1]


def test_texts_that_are_padded_count_as_wide_as_they_are(budget):
    model = Counted(trims=False)
    TextEncoder(model, "auto", Profile()).features(["a", "b", "c", "d"])
    assert model.shapes == [(3, 77), (1, 77)]


def test_batches_by_tokens_halve_when_memory_runs_out(budget):
    model, asked = Counted(room=100), some_texts(0)
    found = TextEncoder(model, "auto", Profile()).features(asked)
    assert sorted(model.encoded) == sorted(asked)
    np.testing.assert_allclose(found, np.stack([unit(text) for text in asked]), atol=1e-6)
    assert max(rows * width for rows, width in model.shapes) <= 64 + 63  # 256, 128, then 64; a text alone may be longer


@pytest.fixture(scope="module", params=["dual-encoder", "altclip", "siglip", "hf", "open_clip"])
def model(request, tmp_path_factory):
    """Models that do not pack, or are kept from it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param in FAMILIES:
        return load_model(str(FAMILIES[request.param](folder)))
    loaded = load_model(str(build_clip(folder, library="transformers" if request.param == "hf" else "open_clip")))
    assert loaded.packed_text
    loaded.packed_text = None
    return loaded


@pytest.mark.parametrize("batch_size", ["auto", 4])
def test_features_of_batches_are_those_of_single_texts(budget, model, batch_size):
    asked = [f"{words} {number}" for words in WORDS for number in range(9)]
    found = TextEncoder(model, batch_size, Profile()).features(asked)
    for text, feature in zip(asked, found, strict=True):
        with torch.no_grad():
            single = torch.nn.functional.normalize(model.text_features(model.tokenize([text])))[0]
        np.testing.assert_allclose(feature, single.numpy(), atol=1e-6)


def test_features_come_in_the_order_of_the_texts_whatever_is_known_or_alike(tmp_path):
    """Some texts are in the cache already, and some are one prompt."""
    from clipbench.inference.embedding_cache import open_cache

    model, asked = load_model("demo"), ["bb", "A", "ccc", "B", "a"]
    cache, profile = open_cache(model, str(tmp_path), pytest.fail), Profile()
    TextEncoder(model, "auto", Profile(), cache).features(["ccc", "zz", "bb"])
    found = TextEncoder(model, "auto", profile, cache, prompt=str.lower).features(asked)
    alone = [TextEncoder(model, "auto", Profile()).features([text.lower()]) for text in asked]
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-6)
    assert profile.texts == 2


def test_some_of_the_texts_are_tokens_as_if_they_were_alone(model):
    words = [*WORDS, "word " * 100]
    tokens = model.tokenize(words)
    for chosen in ([0], [3], [4, 0, 2], [1, 6], list(range(len(words)))):
        part, alone = tokens.part(chosen), model.tokenize([words[index] for index in chosen])
        assert part.inputs.keys() == alone.inputs.keys()
        assert all(torch.equal(part.inputs[name], alone.inputs[name]) for name in part.inputs)
        assert (part.lengths, part.truncated) == (alone.lengths, alone.truncated)
    trims = model.info.text_batching == "trimmed"
    assert (tokens.lengths is not None) == trims
    assert not trims or tokens.lengths[0] < tokens.lengths[3] < tokens.lengths[6]


@pytest.mark.parametrize(
    ("template", "lowercase", "expected"), [("a photo of {}", False, "a photo of A Cat"), ("{}", True, "a cat")]
)
def test_texts_are_scored_as_prompts_and_cached_as_such(tmp_path, template, lowercase, expected):
    """Features are those of the prompt; with the cache too, where the text alone was encoded before."""
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.inference.embedding_cache import open_cache
    from clipbench.models import load_model

    model = load_model("demo")
    cache = open_cache(model, str(tmp_path), lambda text: None)
    TextEncoder(model, "auto", Profile(), cache).features(["A Cat"])
    options = EvaluationOptions(text_template=template, lowercase=lowercase)
    (found,) = TextEncoder(model, "auto", Profile(), cache, options.prompt).features(["A Cat"])
    prompt, text = TextEncoder(model, "auto", Profile()).features([expected, "A Cat"])
    assert found == pytest.approx(prompt, abs=1e-6)
    if template != "{}":
        assert found != pytest.approx(text, abs=1e-3)


def test_a_template_without_a_place_for_the_text_is_refused():
    from clipbench.errors import ConfigError
    from clipbench.evaluation.options import EvaluationOptions

    with pytest.raises(ConfigError, match="text_template 'a photo': has no {} for the text"):
        EvaluationOptions(text_template="a photo")
