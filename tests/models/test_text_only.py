"""Language models as blind models: likelihoods against a slow reference, and evaluation without a look at an image."""

import json
from functools import cache

import numpy as np
import pytest
import torch

import clipbench
from clipbench.errors import ConfigError, ModelError
from clipbench.inference.scorer import Scorer
from clipbench.models import text_only
from clipbench.models.text_only import LanguageModel
from clipbench.types import ImageRef, Sample, SampleError
from tests.seeded import build_language_model
from tests.toy import write_toy

TEXTS = [
    "a white cat on the left of a dog",
    "a white cat on the right of a dog",
    "a",
    "a white cat",
    "two dogs and a fence",
    "a black cat on the left of a dog",
    "a white cat",
]
CAPTIONS = ["a white dog", "a red car on the left", "the red car"]


@pytest.fixture(scope="module", params=["gpt2", "llama", "bloom"])
def any_folder(request, tmp_path_factory):
    return build_language_model(tmp_path_factory.mktemp("language") / request.param, request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_language_model(tmp_path_factory.mktemp("language") / "gpt2")


@cache
def parts(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder).double().eval(), AutoTokenizer.from_pretrained(folder)


@cache
@torch.no_grad()
def direct_likelihoods(folder, text):
    """The log-likelihood of each token, from the model's prediction after the tokens before it, one call a token."""
    network, tokenizer = parts(folder)
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    found = []
    for place in range(1, len(ids)):
        logits = network(torch.tensor([ids[:place]])).logits[0, -1]
        found.append(float(logits[ids[place]] - torch.logsumexp(logits, 0)))
    return found


@pytest.mark.parametrize("score", ["sum", "mean"])
def test_scores_are_the_likelihoods_of_a_direct_computation(any_folder, score):
    model = clipbench.load_model(f"text_only:{any_folder}", model_args={"score": score})
    tokens = model.tokenize(TEXTS)
    with torch.inference_mode():
        plain = model.text_features(tokens)
    expected = [getattr(np, score)(direct_likelihoods(any_folder, text)) for text in TEXTS]
    assert plain.shape == (len(TEXTS), 1)
    np.testing.assert_allclose(plain[:, 0], expected, rtol=1e-5)
    assert plain[3] == plain[6]


def test_texts_share_their_beginnings_where_that_is_exact(any_folder, monkeypatch):
    from clipbench.models.packing import texts_of

    model = clipbench.load_model(f"text_only:{any_folder}")
    assert (model.packed_text is not None) == (any_folder.name != "bloom")  # it has no positions to give
    if model.packed_text is None:
        return
    monkeypatch.setattr(text_only, "_ROW", 16)
    monkeypatch.setattr(text_only, "_LOGITS", 1)  # row by row
    tokens = model.tokenize(TEXTS)
    rows = model.packed_text.pack(tokens)
    with torch.inference_mode():
        packed = model.packed_text.features(rows)
    assert len(rows) > 1
    assert sum(len(row.ids) for row in rows) < sum(tokens.lengths)
    expected = [sum(direct_likelihoods(any_folder, TEXTS[place])) for place in texts_of(rows)]
    np.testing.assert_allclose(packed[:, 0], expected, rtol=1e-5)


def unseen(key):
    def fail():
        raise AssertionError("the image was opened")

    return ImageRef(key, fail, content=fail)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_the_scorer_gives_likelihoods_and_opens_no_image(folder, batch_size, packed):
    model = clipbench.load_model(f"text_only:{folder}")
    model.packed_text = model.packed_text if packed else None
    samples = [Sample(f"s{n}", (unseen(f"i{n}"),), TEXTS[n : n + 3], "g", f"i{n}") for n in range(5)]
    with Scorer(model, batch_size) as scorer:
        scored = list(scorer.similarities(samples, "here"))
    for sample, found in zip(samples, scored, strict=True):
        assert found.similarities.shape == (1, 3)
        expected = [sum(direct_likelihoods(folder, text)) for text in sample.texts]
        np.testing.assert_allclose(found.similarities[0], expected, rtol=1e-5)


def test_it_is_an_ordinary_model(folder, tmp_path):
    """Whole run, cache, journal and samples; files that hold no picture are none of its business."""
    file = write_toy(tmp_path, CAPTIONS)
    for picture in tmp_path.glob("*.png"):
        picture.write_bytes(b"no picture")
    options = {"output_path": tmp_path / "out", "log_samples": True, "use_cache": tmp_path / "cache"}
    first = clipbench.evaluate(f"text_only:{folder}", str(file), **options)
    assert first.failed == []
    (log,) = (tmp_path / "out").rglob("samples_*.jsonl")
    right = 0
    for sample in map(json.loads, log.read_text().splitlines()):
        expected = [sum(direct_likelihoods(folder, text)) for text in sample["texts"]]
        np.testing.assert_allclose(sample["scores"], expected, rtol=1e-5)
        right += expected[0] > max(expected[1:])
    assert first.metric("toy_color", "acc") == right / len(CAPTIONS)
    assert first.model_info["likelihood"] == "sum"
    again = clipbench.evaluate(f"text_only:{folder}", str(file), use_cache=tmp_path / "cache", profile=True)
    assert again.tasks["toy_color"].metrics == first.tasks["toy_color"].metrics
    assert again.profile["texts"] == 0


def test_sum_and_mean_are_two_models(folder):
    network, tokenizer = parts(folder)
    models = [LanguageModel(network, tokenizer, id="m", **args) for args in ({}, {"score": "sum"}, {"score": "mean"})]
    assert len({model.fingerprint for model in models}) == 2


def test_where_images_compete_it_is_refused_and_the_other_tasks_go_on(folder):
    results = clipbench.evaluate(f"text_only:{folder}", "scenes_inpaint_color,scenes_retrieval,scenes_size", limit=5)
    assert results.failed == ["scenes_inpaint_color", "scenes_retrieval"]
    assert "sees no image, and in pairs tasks images compete" in results.tasks["scenes_inpaint_color"].error
    assert "the model sees no image, and in retrieval tasks" in results.tasks["scenes_retrieval"].error


def test_half_precision_is_close(folder):
    model = clipbench.load_model(f"text_only:{folder}", dtype="bfloat16")
    with torch.inference_mode():
        found = model.text_features(model.tokenize(TEXTS))
    np.testing.assert_allclose(found[:, 0], [sum(direct_likelihoods(folder, text)) for text in TEXTS], rtol=0.03)


def test_long_texts_are_cut_and_counted(folder, tmp_path):
    file = write_toy(tmp_path, ["a white dog", "a red car " + "and so on " * 60])
    results = clipbench.evaluate(f"text_only:{folder}", str(file))
    assert results.tasks["toy_color"].truncated_texts == 9


def test_a_text_without_tokens_has_no_likelihood(folder):
    model = clipbench.load_model(f"text_only:{folder}")
    samples = [Sample("s", (unseen("i"),), ["a dog", ""], "g", "i"), Sample("t", (unseen("i"),), ["a dog"], "g", "i")]
    with Scorer(model) as scorer:
        empty, other = (scored.similarities for scored in scorer.similarities(samples, "here"))
    assert empty == SampleError("s", "", "empty caption ''")
    assert other.shape == (1, 1)


def test_a_model_that_looks_ahead_is_no_language_model():
    from transformers import BertConfig, BertLMHeadModel

    from clipbench.models.convert import clip_tokenizer

    config = BertConfig(
        vocab_size=49408, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.3,
    )  # fmt: skip
    with pytest.raises(ModelError, match="bert: BertLMHeadModel does not predict texts from left to right"):
        LanguageModel(BertLMHeadModel(config), clip_tokenizer(), id="bert")


def test_what_is_no_language_model_is_refused_in_one_line(folder, tiny_clip, tmp_path):
    def refusal(model, kind, **args):
        with pytest.raises(kind) as caught:
            clipbench.load_model(model, model_args=args)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is a clip model, not a causal language model" in refusal(f"text_only:{tiny_clip}", ModelError)
    assert "give sum or mean" in refusal(f"text_only:{folder}", ConfigError, score="best")
    assert "unknown model argument 'scor'" in refusal(f"text_only:{folder}", ConfigError, scor="sum")
    assert "name a language model" in refusal("text_only", ConfigError)
    assert "HF_HUB_OFFLINE" in refusal("text_only:gpt2", ModelError)
    with pytest.raises(ModelError, match="no image encoder"):
        clipbench.load_model(f"text_only:{folder}").save(tmp_path / "saved")


def test_the_name_of_a_special_token_is_text(any_folder):
    model = clipbench.load_model(f"text_only:{any_folder}")
    for name in model.tokenizer.all_special_tokens:
        ids = model.tokenize([f"a cat{name} and a dog"]).inputs["input_ids"][0].tolist()
        assert model.tokenizer.convert_tokens_to_ids(name) not in ids[1:], name
