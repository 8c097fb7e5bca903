"""Words filled in by a masked language model, compared with a slow and obvious reference."""

import builtins

import pytest
import torch

pytest.importorskip("HanTa")

from clipbench.errors import ConfigError
from clipbench.training.negatives.masked_words import MaskedWords
from clipbench.training.negatives.tagging import Tagger, check_parts
from tests.models.builders import WORDS, bert_tokenizer

CAPTIONS = [
    "a white cat in front of a white house",
    "Two dogs on the left",
    "A red bird and a red cat's bird",
    "and with of",
    "two brown cats with [MASK] a dog",
    "a dog",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("models") / "masked"
    tokenizer = bert_tokenizer()
    torch.manual_seed(3)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                        num_attention_heads=2, max_position_embeddings=64, initializer_range=0.5)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def likeliest_first(folder, caption, start, end):
    """Whole words of the vocabulary, the likeliest at the masked place first, in float64 and one at a time."""
    from transformers import AutoTokenizer, BertForMaskedLM

    network, tokenizer = BertForMaskedLM.from_pretrained(folder).double().eval(), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(f"{caption[:start]}[MASK]{caption[end:]}", return_tensors="pt")
    places = [n for n, number in enumerate(tokens["input_ids"][0]) if number == tokenizer.mask_token_id]
    place = places[caption[:start].count("[MASK]")]
    with torch.no_grad():
        scores = network(**tokens).logits[0, place]
    words = [word for word in WORDS if len(word) > 1]
    return sorted(words, key=lambda word: -scores[tokenizer.convert_tokens_to_ids(word)])


@pytest.mark.parametrize("k", [1, 3])
def test_replacements_are_the_likeliest_words_of_the_same_part_and_another_lemma(model, k):
    tagger, found = Tagger(), list(MaskedWords(model, ["NOUN", "ADJ"], k, device="cpu").variants(CAPTIONS, 4))
    assert found[3] is None
    replaced = 0
    for caption, variants in zip(CAPTIONS, found, strict=True):
        if variants is None:
            continue
        replaced += 1
        assert variants.caption == caption
        old = caption[variants.start : variants.end]
        assert variants.keyword == old
        tag = {word.start: word for word in tagger.words(caption)}[variants.start]
        assert tag.part in ("NOUN", "ADJ")
        expected = []
        for word in likeliest_first(model, caption, variants.start, variants.end):
            word = word.capitalize() if old[0].isupper() else word
            text = caption[: variants.start] + word + caption[variants.end :]
            other = {found.start: found for found in tagger.words(text)}[variants.start]
            if other.part == tag.part and other.lemma != tag.lemma and word.lower() != old.lower():
                expected.append(text)
        assert variants[1:] == expected[:k]
    assert replaced >= 4


def test_only_the_drawn_occurrence_is_replaced(model):
    """Both whites are drawn by one seed or another, and the other one stays."""
    starts = set()
    for seed in range(12):
        (variants,) = MaskedWords(model, ["ADJ"], 1, seed=seed, device="cpu").variants(CAPTIONS[:1])
        assert variants[1].count("white") == 1
        starts.add(variants.start)
    assert starts == {2, 26}


def test_a_plural_is_no_replacement_of_its_singular():
    tagger = Tagger()
    lemmas = {text: tagger.words(text)[1].lemma for text in ("the cat", "the cats", "the dog")}
    assert lemmas["the cat"] == lemmas["the cats"] != lemmas["the dog"]


def test_draws_are_functions_of_seed_and_caption(model):
    filler = MaskedWords(model, ["NOUN", "ADJ"], 1, seed=4, device="cpu")
    first = [variants and variants[1] for variants in filler.variants(CAPTIONS, 2)]
    assert first == [variants and variants[1] for variants in filler.variants(CAPTIONS, 6)]


def test_words_have_places_and_possessives_stay_outside():
    caption = "A man’s red well-known dog isn't here."
    words = Tagger().words(caption)
    assert [caption[word.start : word.end] for word in words] == [
        "A", "man", "’s", "red", "well-known", "dog", "is", "n't", "here", "."]  # fmt: skip
    assert [word.part for word in words[:6]] == ["", "NOUN", "", "ADJ", "ADJ", "NOUN"]
    assert Tagger().words("  ") == []


def test_a_tagger_that_is_not_installed_is_said_with_its_extra(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("HanTa"):
            raise ImportError(name)
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'clipbench\[pos\]'"):
        Tagger()


def test_unknown_parts_of_speech_are_refused():
    check_parts(["NOUN", "ADJ"])
    with pytest.raises(ConfigError, match=r"pos NUON.*NOUN"):
        check_parts(["NUON"])
    with pytest.raises(ConfigError, match="pos"):
        check_parts([])


def test_a_place_beyond_the_context_is_passed_over(model):
    caption = "a " * 60 + "cat"
    assert list(MaskedWords(model, ["NOUN"], 1, device="cpu").variants([caption])) == [None]
