"""Packed text features against one text after the other, and rows against the texts that they were made of."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from clipbench.concepts import Variants, load_concept
from clipbench.models import load_model, packing
from clipbench.models.hf import TransformersModel
from clipbench.models.packing import collate, pack, texts_of
from tests.models.conftest import assert_same_directions
from tests.reference import packing as reference

PACKING = {"model_families": ("clip", "clip-legacy", "metaclip2"), "kinds": ("clip", "resnet", "custom-text", "timm")}
NOT_PACKING = {
    "model_families": ("siglip", "siglip2-naflex", "align", "altclip", "chinese-clip", "dual-encoder"),
    "kinds": ("siglip", "coca", "hf-text"),
}
ALL_PACKING = [(fixture, name) for fixture, names in PACKING.items() for name in names]
LONG = "a very long sentence about one cat and then one more " * 12

CAPTIONS = {
    "object": ["A cat.", "cat", "a dog, a cat!", f"A cat on a mat. {LONG}", "Ein Käfig für a cat 😀 naïve"],
    "color": ["white", "The house is white.", "a white & black cat", f"{LONG} white cat", "white…  white,\tgray"],
    "location": ["in front of it", "A man to the left", "left,right", "the back of a house @ left?"],
    "size": ["large", "a large, tall tree &amp; a man", "don't be large!", "A  LARGE large thing"],
}
GROUPS = [load_concept(name).variants(caption) for name, captions in CAPTIONS.items() for caption in captions]
TEXTS = [text for group in GROUPS for text in list(group)[:12]]


def load(request, fixture, name, **options):
    return load_model(str(request.getfixturevalue(fixture)(name)), **options)


def packed(model, texts, batch=3):
    """Features in the order of the texts."""
    rows = model.packed_text.pack(model.tokenize(texts))
    parts = [model.packed_text.features(rows[i : i + batch]) for i in range(0, len(rows), batch)]
    order = texts_of(rows)
    assert sorted(order) == list(range(len(texts)))
    return torch.cat(parts)[torch.tensor(order).argsort()]


def plain(model, texts):
    return torch.cat([model.text_features(model.tokenize(texts[i : i + 32])) for i in range(0, len(texts), 32)])


def random_texts(seed, count=40, length=9, vocabulary=3):
    """Sequences with many common beginnings, repetitions, and some that begin others, in a padded matrix."""
    dice = random.Random(seed)
    texts = [[dice.randrange(vocabulary) for _ in range(dice.randint(1, length))] for _ in range(count)]
    texts += dice.sample(texts, count // 4)
    ids = np.full((len(texts), length + 2), 7)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return texts, ids, np.array([len(text) - 1 for text in texts])


def test_two_texts_by_hand():
    rows = pack(np.array([[1, 3, 9, 9], [1, 2, 4, 9]]), np.array([2, 3]), width=8)
    assert len(rows) == 1
    assert rows[0].ids.tolist() == [1, 2, 4, 9, 3, 9]
    assert rows[0].positions.tolist() == [0, 1, 2, 3, 1, 2]
    assert rows[0].subtree_ends.tolist() == [6, 4, 4, 4, 6, 6]
    assert rows[0].texts == (1, 0)
    assert rows[0].ends == (3, 5)


@pytest.mark.parametrize("width", [9, 10, 16, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_every_end_token_sees_its_own_text_in_order_and_nothing_else(seed, width):
    texts, ids, ends = random_texts(seed)
    rows = pack(ids, ends, width)
    assert sorted(texts_of(rows)) == list(range(len(texts)))
    sizes = [len(row.ids) for row in rows]
    assert max(sizes) <= width
    assert sizes == sorted(sizes, reverse=True)
    batch = collate(rows, torch.device("cpu"), torch.float32)
    for text, row, end in zip(texts_of(rows), batch.rows, batch.ends, strict=True):
        seen = batch.mask[row, 0, end] == 0
        assert batch.input_ids[row][seen].tolist() == texts[text]
        assert batch.position_ids[row][seen].tolist() == list(range(len(texts[text])))


@pytest.mark.parametrize("width", [9, 13, 40, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_rows_are_those_of_a_tree_built_text_by_text(seed, width):
    texts, ids, ends = random_texts(seed)
    found = [
        (row.ids.tolist(), row.positions.tolist(), row.subtree_ends.tolist(), list(row.texts), list(row.ends))
        for row in pack(ids, ends, width)
    ]
    assert found == [tuple(row) for row in reference.pack(texts, width)]


@pytest.mark.parametrize("seed", range(4))
def test_a_row_holds_each_beginning_once(seed):
    texts, ids, ends = random_texts(seed)
    (row,) = pack(ids, ends, width=10_000)
    beginnings = {tuple(text[: length + 1]) for text in texts for length in range(len(text))}
    assert len(row.ids) == len(beginnings)


def test_rows_are_filled_to_the_last_token():
    ids = np.array([[0, 1, 9], [0, 2, 9], [0, 3, 9]])
    assert [len(row.ids) for row in pack(ids, np.full(3, 2), width=5)] == [5, 3]
    assert [len(row.ids) for row in pack(ids, np.full(3, 2), width=4)] == [3, 3, 3]
    assert [len(row.ids) for row in pack(ids, np.full(3, 2), width=7)] == [7]


def test_no_texts_make_no_rows():
    assert pack(np.zeros((0, 5), dtype=np.int64), np.zeros(0, dtype=np.int64), width=5) == []


def test_padding_sees_itself_and_is_seen_by_no_other():
    rows = pack(np.array([[1, 2, 9], [3, 9, 9]]), np.array([2, 1]), width=3)
    mask = collate(rows, torch.device("cpu"), torch.float32).mask
    assert (mask[1, 0] == 0).nonzero().tolist() == [[0, 0], [1, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(("fixture", "name"), ALL_PACKING)
@torch.no_grad()
def test_packed_features_are_the_plain_ones(request, fixture, name):
    model = load(request, fixture, name)
    assert model.packed_text
    assert_same_directions(packed(model, TEXTS), plain(model, TEXTS))


@pytest.mark.parametrize(("fixture", "name"), ALL_PACKING)
@torch.no_grad()
def test_texts_beyond_the_context_are_cut_as_ever(request, fixture, name):
    model = load(request, fixture, name)
    texts = [f"{LONG} cat", f"{LONG} dog", f"a cat {LONG}", f"a dog {LONG}", "cat"]
    assert model.tokenize(texts).truncated == (True, True, True, True, False)
    assert_same_directions(packed(model, texts), plain(model, texts))


@pytest.mark.parametrize("cleaning", ["trained", "native"])
@pytest.mark.parametrize("library", [0, 1])
@torch.no_grad()
def test_end_tokens_within_a_text(pair, library, cleaning):
    model = load_model(str(pair[library]), model_args={"text_cleaning": cleaning})
    assert model.packed_text
    texts = [f"a cat{end} and a {word}" for end in ("<|endoftext|>", "<end_of_text>", "") for word in ("cat", "dog")]
    assert_same_directions(packed(model, texts), plain(model, texts))


@pytest.mark.parametrize("library", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 3, 17, 80])
@torch.no_grad()
def test_any_number_of_variants(pair, library, count):
    model = load_model(str(pair[library]))
    variants = load_concept("object").variants("A cat sitting on a bench.")
    assert isinstance(variants, Variants)
    texts = variants[:count]
    assert_same_directions(packed(model, texts), plain(model, texts))
    tokens = model.tokenize(texts).inputs["input_ids"]
    asked = int(((tokens == 49407).int().argmax(dim=1) + 1).sum())
    computed = sum(len(row.ids) for row in model.packed_text.pack(model.tokenize(texts)))
    assert computed == asked if count == 1 else computed < asked


@pytest.mark.parametrize("library", [0, 1])
@torch.no_grad()
def test_features_do_not_depend_on_batch_order_or_company(pair, library):
    model = load_model(str(pair[library]))
    expected = packed(model, TEXTS)
    assert_same_directions(packed(model, TEXTS, batch=1), expected)
    assert_same_directions(packed(model, TEXTS, batch=1000), expected)
    order = random.Random(0).sample(range(len(TEXTS)), 50)
    assert_same_directions(packed(model, [TEXTS[index] for index in order]), expected[order])


@pytest.mark.parametrize("library", [0, 1])
def test_gradients_are_the_plain_ones(pair, library):
    model = load_model(str(pair[library]))
    texts = ["a white cat on a mat", "a brown cat on a mat", "a white dog", "the bird", "a white cat on a mat"]
    weights = torch.randn(len(texts), model.info.feature_dim, generator=torch.Generator().manual_seed(0))
    gradients = []
    for encode in (plain, packed):
        model.module.zero_grad()
        (encode(model, texts) * weights).sum().backward()
        found = {name: p.grad.clone() for name, p in model.module.named_parameters() if p.grad is not None}
        gradients.append(found)
    assert gradients[0].keys() == gradients[1].keys()
    assert len(gradients[0]) > 20
    largest = max(float(gradient.abs().max()) for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("library", [0, 1])
@torch.no_grad()
def test_half_precision(pair, library, dtype):
    model, exact = load_model(str(pair[library]), dtype=dtype), load_model(str(pair[library]))
    assert model.packed_text
    features = packed(model, TEXTS)
    assert features.dtype == model.dtype
    assert (torch.cosine_similarity(features.float(), plain(exact, TEXTS)) > 0.999).all()


@torch.no_grad()
def test_eager_attention(pair):
    model = load_model(str(pair[0]))
    model.module.set_attn_implementation("eager")
    assert model.module.text_model.config._attn_implementation == "eager"
    assert packing.packs_exactly(model, model.packed_text)
    assert_same_directions(packed(model, TEXTS), plain(model, TEXTS))


@pytest.mark.parametrize(("fixture", "name"), [(key, name) for key, names in NOT_PACKING.items() for name in names])
def test_other_towers_do_not_pack(request, fixture, name):
    model = load(request, fixture, name)
    assert model.packed_text is None
    assert model.info.text_batching != "packed"


def test_a_tower_that_looks_both_ways_is_found_out(pair):
    model = load_model(str(pair[0]))
    model.module.text_model.config.is_causal = False
    assert not packing.packs_exactly(model, model.packed_text)
    model = load_model(str(pair[1]))
    model.module.attn_mask.zero_()
    assert not packing.packs_exactly(model, model.packed_text)


def test_a_tower_with_ideas_of_its_own_is_found_out(pair, monkeypatch):
    """One that counts positions itself, one that makes its mask itself, one that refuses: each loads unpacked."""
    for ignored in ("position_ids", "attention_mask", None):
        network = load_model(str(pair[0]))
        forward = network.module.text_model.forward

        def stubborn(*args, ignored=ignored, forward=forward, **inputs):
            if inputs.get("position_ids") is not None:
                if ignored is None:
                    raise TypeError("unexpected keyword argument 'position_ids'")
                inputs.pop(ignored)
            return forward(*args, **inputs)

        monkeypatch.setattr(network.module.text_model, "forward", stubborn)
        again = TransformersModel(network.module, network.tokenizer, network.image_processor, id="stubborn")
        assert again.packed_text is None, ignored
        assert again.info.text_batching == "trimmed"
