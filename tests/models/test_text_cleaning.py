"""Cleaning by tower, against open_clip's own functions, OpenAI's algorithm and the libraries' tokenizers."""

from __future__ import annotations

import copy
import json

import open_clip
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
from transformers import AutoTokenizer

from clipbench.errors import ConfigError
from clipbench.models import load_model
from clipbench.models.hf import TransformersModel
from clipbench.models.plain_text import plain_tokenizer
from clipbench.models.text_cleaning import CLEANINGS
from tests.models.builders import (
    bert_tokenizer,
    build_siglip,
    build_siglip2,
    open_clip_config,
    siglip2_tokenizer,
    siglip_tokenizer,
    xlm_roberta_tokenizer,
)
from tests.models.conftest import assert_same_directions

NASTY = (
    "a cat &amp; a dog", "a cat &amp;amp; a dog", "&lt;b&gt;bold&lt;/b&gt;", "it&#39;s", "5&nbsp;cats",
    "e&#x301;te\u0301",
    "Tom’s “big” ‘dog’", "a ﬁsh and ﬂowers", "１０ ＡＢＣ", "cafÃ© â€” naÃ¯ve", "the â€œbestâ€\x9d cat",
    "a cat <|endoftext|> a dog", "<|startoftext|> a cat", "<|EndOfText|>", "a cat<end_of_text>!", "<START_OF_TEXT>",
    "!!<end_of_text>!!", "<|endoftext|><|endoftext|>", "</s> <s> <unk> <pad> <mask> [SEP] [CLS] <eos> <bos>",
    "two   spaces\tand\na line\r\nand \x0b\x0c\x1c\x85\u2028more ", "\ufeffa cat\xad and\u200b a dog", "a\x07cat",
    "DON'T can'T I'LL 'S 'ſ isn`t", "İstanbul ΟΔΟΣ STRASSE ẞ", "日本語 ３ Ⅷ ½ x² 🇩🇪 👩‍👩‍👧 ﷺ", "_a__b_ A_B #1 @x",
    "a cat, a dog." * 40, "…", "-" * 200,
)  # fmt: skip
PIECES = st.sampled_from([piece for text in NASTY for piece in text.split(" ")] + ["cat", " ", "&", ";", "<", "|>"])


def openai_ids(text: str) -> list[int]:
    """OpenAI's algorithm as open_clip keeps it, with a pattern that knows no special tokens."""
    tokenizer = SimpleTokenizer()
    words = regex.split(r"(?<=_of_text>)\|(?=')", tokenizer.pat.pattern)[-1]
    tokenizer.pat = regex.compile(words, regex.IGNORECASE)
    assert "text" not in words
    return tokenizer([text])[0].tolist()


def ids_of(model, text: str) -> list[int]:
    """A text's tokens, as long as the context, with zeros after the end as open_clip has them."""
    ids = model.tokenize([text]).inputs["input_ids"][0].tolist()
    ids = ids[: ids.index(49407) + 1]
    return ids + [0] * (77 - len(ids))


@pytest.fixture(scope="module")
def both(pair):
    return [load_model(str(directory)) for directory in pair]


@pytest.mark.parametrize("text", NASTY)
def test_both_libraries_read_a_caption_as_openai_did(both, text):
    for model in both:
        assert ids_of(model, text) == openai_ids(text), model.info.library
    assert [model.info.text_cleaning for model in both] == ["lower", "lower"]


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=8).map("".join))
def test_any_mixture_is_read_alike(both, text):
    hf, oc = both
    assert ids_of(hf, text) == ids_of(oc, text)
    assert ids_of(hf, text)[1:].count(49407) == 1


@torch.no_grad()
def test_both_formats_of_a_clip_give_the_same_features_of_nasty_captions(both):
    one, other = (model.text_features(model.tokenize(NASTY)) for model in both)
    assert_same_directions(one, other)
    for model in both:
        rows = model.packed_text.pack(model.tokenize(NASTY))
        order = [text for row in rows for text in row.texts]
        assert_same_directions(model.packed_text.features(rows), one[order])


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])) | st.lists(PIECES).map("".join))
@pytest.mark.parametrize("name", ["lower", "whitespace", "canonicalize"])
def test_cleanings_with_open_clips_names_are_open_clips(name, text):
    assert CLEANINGS[name](text) == get_clean_fn(name)(text)


@pytest.mark.parametrize("library", [0, 1])
def test_native_is_what_the_library_does(pair, library):
    native = load_model(str(pair[library]), model_args={"text_cleaning": "native"})
    trained = load_model(str(pair[library]))
    if library == 0:
        tokenizer = AutoTokenizer.from_pretrained(pair[0])
        expected = [tokenizer(text, truncation=True, max_length=77)["input_ids"] for text in NASTY]
    else:
        expected = open_clip.get_tokenizer(f"local-dir:{pair[1]}")(list(NASTY)).tolist()
    found = [native.tokenize([text]).inputs["input_ids"][0].tolist() for text in NASTY]
    assert found == [row[: len(ids)] for row, ids in zip(expected, found, strict=True)]
    assert native.info.text_cleaning == "native"
    assert native.fingerprint != trained.fingerprint


@pytest.mark.parametrize("library", [0, 1])
def test_other_words_for_a_cleaning_are_refused(pair, library):
    with pytest.raises(ConfigError, match="text_cleaning='ftfy': trained"):
        load_model(str(pair[library]), model_args={"text_cleaning": "ftfy"})


@pytest.mark.parametrize("tokenizer_class", ["GemmaTokenizer", "GemmaTokenizerFast", "Siglip2Tokenizer"])
def test_siglip_2_is_lower_cased_whatever_its_tokenizer_is_called(tmp_path, tokenizer_class):
    """``google/siglip2-base-patch16-224`` is of model_type siglip, and its tokenizer_config says GemmaTokenizer."""
    directory = build_siglip(tmp_path / "model")
    (directory / "spiece.model").unlink()
    tokenizer = siglip2_tokenizer()
    tokenizer.save_pretrained(directory)
    config = json.loads((directory / "config.json").read_text())
    with torch.random.fork_rng():
        _grow_vocabulary(directory, config, len(tokenizer))
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = tokenizer_class
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    model = load_model(str(directory))
    assert model.info.text_cleaning == "siglip2"
    text = "A White cat, number 0. ΟΔΟΣ"
    expected = tokenizer([text], padding="max_length", truncation=True, max_length=16)["input_ids"]
    assert model.tokenize([text]).inputs["input_ids"].tolist() == expected
    assert model.tokenize([text.lower()]).inputs["input_ids"].shape == (1, 16)


def _grow_vocabulary(directory, config, size):
    from transformers import AutoModel

    network = AutoModel.from_pretrained(directory)
    network.text_model.embeddings.token_embedding = torch.nn.Embedding(size, 32)
    network.config.text_config.vocab_size = size
    network.config.text_config.pad_token_id, network.config.text_config.eos_token_id = 0, 1
    network.save_pretrained(directory)


def test_siglip_1_and_2_by_name(tmp_path):
    assert load_model(str(build_siglip(tmp_path / "1"))).info.text_cleaning == "siglip"
    assert load_model(str(build_siglip2(tmp_path / "2"))).info.text_cleaning == "siglip2"


def test_siglip_in_both_libraries(tmp_path, kinds):
    """open_clip's SigLIP 1 mends texts too, which Big Vision did not; both strip punctuation and lower-case."""
    model, text = load_model(str(kinds("siglip"))), "A White_cat &amp; 2 dogs, “here”!"
    assert model.info.text_cleaning == "siglip"
    ids = model.tokenize([text]).inputs["input_ids"].tolist()
    inner = model.tokenizer.tokenizer
    expected = inner("a white cat amp 2 dogs “here”", padding="max_length", truncation=True, max_length=16)
    assert ids == [expected["input_ids"]]
    same = load_model(str(build_siglip(tmp_path / "hf")))
    assert same.tokenize([text]).inputs["input_ids"].tolist() == ids


@pytest.fixture
def open_clip_siglip2(tmp_path):
    """open_clip's tokenizer of SigLIP 2, as its architectures have it: Gemma's, and ``canonicalize``."""
    siglip2_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return HFTokenizer(str(tmp_path / "tokenizer"), context_length=16, clean="canonicalize")


def test_siglip_2_of_open_clip_keeps_its_punctuation(open_clip_siglip2, tmp_path):
    from clipbench.models.open_clip.adapter import OpenClipModel

    config = open_clip_config("siglip", tmp_path / "t")
    config["text_cfg"]["vocab_size"] = len(open_clip_siglip2.tokenizer)
    network = open_clip.CustomTextCLIP(**{key: value for key, value in config.items() if key != "custom_text"})
    open_clip.set_model_preprocess_cfg(network, {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3})
    common = {"id": "x", "architecture": "x", "dtype": torch.float32}
    model = OpenClipModel(network, open_clip_siglip2, config, **common)
    expected = siglip2_tokenizer()(["A cat, a dog."], padding="max_length", max_length=16)["input_ids"]
    assert model.tokenize(["A cat, a dog."]).inputs["input_ids"].tolist() == expected
    assert model.info.text_cleaning == "siglip2"
    native = OpenClipModel(network, open_clip_siglip2, config, cleaning="native", **common)
    assert (
        native.tokenize(["A cat, a dog."]).inputs["input_ids"].tolist() == open_clip_siglip2(["a cat a dog"]).tolist()
    )


@pytest.mark.parametrize("make", [xlm_roberta_tokenizer, siglip2_tokenizer, bert_tokenizer])
def test_the_name_of_a_special_token_is_text(make):
    tokenizer = make()
    plain = plain_tokenizer(tokenizer)
    nothing = plain("")["input_ids"]
    for name in tokenizer.all_special_tokens:
        inside = plain(f"a cat {name}and a dog{name}")["input_ids"]
        special = [number for number in inside if number in tokenizer.all_special_ids and number != plain.unk_token_id]
        assert special == nothing, name
        assert (
            tokenizer.convert_tokens_to_ids(name) in tokenizer(f"a cat {name}")["input_ids"]
        )  # the given one is as ever
    for text in ("a white cat", "Two dogs, here!", "", "the city street 123"):
        assert plain(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert plain.tokenize(text) == tokenizer.tokenize(text)


def test_a_full_width_special_token_is_text_too():
    """XLM-RoBERTa's normalizer makes </s> of it only after added tokens were looked for."""
    from tokenizers import normalizers

    tokenizer = xlm_roberta_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    text = "a cat＜／s＞"
    assert tokenizer(text)["input_ids"].count(2) == 2
    assert plain_tokenizer(tokenizer)(text)["input_ids"].count(2) == 1


def test_added_words_are_still_words(both):
    own = copy.deepcopy(both[0].tokenizer)
    own.add_tokens(["<sks>"])
    assert plain_tokenizer(own)("a <sks> dog")["input_ids"] == [49406, 320, 49408, 1929, 49407]


def test_in_memory_and_on_disk_read_alike(both):
    from transformers import CLIPProcessor

    hf = both[0]
    wrapped = load_model((hf.module, CLIPProcessor(hf.image_processor, hf.tokenizer)))
    assert wrapped.info.text_cleaning == "lower"
    assert isinstance(wrapped, TransformersModel)
    assert wrapped.fingerprint == hf.fingerprint
    native = load_model(
        (hf.module, CLIPProcessor(hf.image_processor, hf.tokenizer)), model_args={"text_cleaning": "native"}
    )
    assert native.info.text_cleaning == "native"


@pytest.mark.parametrize(
    ("family", "cleaning", "text", "read"),
    [
        ("chinese-clip", "chinese_clip", "A “White” cat &amp;", 'a "white" cat &amp;'),
        ("metaclip2", "whitespace", "A “white”\n cat &amp; dog", 'A "white" cat & dog'),
        ("altclip", "none", "A “white” cat &amp;", "A “white” cat &amp;"),
        ("dual-encoder", "none", "A “white” cat &amp;", "A “white” cat &amp;"),
    ],
)
def test_other_towers(model_families, family, cleaning, text, read):
    directory = model_families(family)
    model = load_model(str(directory))
    assert model.info.text_cleaning == cleaning
    expected = AutoTokenizer.from_pretrained(directory)(read)["input_ids"]
    assert model.tokenize([text]).inputs["input_ids"].tolist() == [expected]


def test_a_slow_tokenizer_needs_its_file_no_more(tmp_path):
    tokenizer = siglip_tokenizer(tmp_path)
    (tmp_path / "spiece.model").unlink()
    assert not tokenizer.is_fast
    plain = plain_tokenizer(tokenizer)
    assert plain("a white cat")["input_ids"] == tokenizer("a white cat")["input_ids"]
    assert plain("a cat </s> dog")["input_ids"].count(tokenizer.eos_token_id) == 1
    assert tokenizer("a cat </s> dog")["input_ids"].count(tokenizer.eos_token_id) == 2
