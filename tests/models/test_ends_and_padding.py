"""Where text towers are pooled and how texts are padded, where files say it badly: against networks called by hand."""

from __future__ import annotations

import copy

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    NllbTokenizer,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipTextModel,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTModel,
)

from clipbench.errors import ConfigError
from clipbench.models import load_model
from clipbench.models.hf import TransformersModel
from clipbench.models.open_clip.adapter import OpenClipModel
from tests.models.builders import (
    TOWER,
    VISION,
    WORDS,
    build_clip_legacy,
    build_siglip,
    build_vit,
    open_clip_config,
    siglip_tokenizer,
)
from tests.models.conftest import TEXTS, assert_same_directions

SENTENCES = ["a <sks> cat", "<sks>", "a white cat", f"a <sks> {'cat ' * 100}"]


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A CLIP with an added word, id 49408, whose configuration says that the end is 2."""
    directory = build_clip_legacy(tmp_path_factory.mktemp("added") / "clip")
    tokenizer, network = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory)
    assert tokenizer.add_tokens(["<sks>"]) == 1
    embeddings = network.text_model.embeddings
    more = torch.cat([embeddings.token_embedding.weight.detach(), torch.full((1, 32), 0.3)])
    embeddings.token_embedding = torch.nn.Embedding.from_pretrained(more, freeze=False)
    network.config.text_config.vocab_size = 49409
    tokenizer.save_pretrained(directory)
    network.save_pretrained(directory)
    assert AutoConfig.from_pretrained(directory).text_config.eos_token_id == 2
    return directory


@torch.no_grad()
def test_an_added_token_is_not_the_end(added):
    model, network = load_model(str(added)), AutoModel.from_pretrained(added).eval()
    expected = []
    for text in SENTENCES:
        ids = model.tokenizer(text, truncation=True, max_length=77, return_tensors="pt")["input_ids"]
        assert ids[0, -1] == 49407
        assert bool((ids == 49408).any()) == ("<sks>" in text)
        states = network.text_model(input_ids=ids).last_hidden_state
        expected.append(network.text_projection(states[:, -1]))
    expected = torch.cat(expected)
    tokens = model.tokenize(SENTENCES)
    assert tokens.truncated == (False, False, False, True)
    assert_same_directions(model.text_features(tokens), expected)
    rows = model.packed_text.pack(tokens)
    order = [text for row in rows for text in row.texts]
    assert_same_directions(model.packed_text.features(rows), expected[order])
    pooled_by_transformers = network.get_text_features(
        **AutoTokenizer.from_pretrained(added)([SENTENCES[0]], return_tensors="pt")
    )
    assert not torch.allclose(pooled_by_transformers.pooler_output, expected[:1], atol=1e-3)


@torch.no_grad()
def test_a_saved_model_is_pooled_at_its_end_by_transformers_too(added, tmp_path):
    model = load_model(str(added))
    model.save(tmp_path / "saved")
    network, tokenizer = (
        AutoModel.from_pretrained(tmp_path / "saved").eval(),
        AutoTokenizer.from_pretrained(tmp_path / "saved"),
    )
    plain = network.get_text_features(**tokenizer(["a <sks> cat"], return_tensors="pt")).pooler_output
    assert_same_directions(model.text_features(model.tokenize(["a <sks> cat"])), plain)


def test_without_added_tokens_the_configuration_is_left_alone(tmp_path):
    model = load_model(str(build_clip_legacy(tmp_path / "clip")))
    assert model.module.text_model.eos_token_id == model.module.config.text_config.eos_token_id == 2


class OtherName(SiglipModel):
    """As remote code has it: SigLIP under a name and a type of somebody's own."""


class OtherConfig(SiglipConfig):
    model_type = "other"


def siglip_parts(folder):
    directory = build_siglip(folder)
    return AutoModel.from_pretrained(directory), load_model(str(directory))


@torch.no_grad()
def test_siglip_under_another_name_is_padded(tmp_path):
    network, plain = siglip_parts(tmp_path / "siglip")
    other = OtherName(OtherConfig(**{**network.config.to_dict(), "model_type": "other"}))
    other.load_state_dict(network.state_dict())
    model = TransformersModel(other, plain.tokenizer, plain.image_processor, id="other")
    tokens = model.tokenize(TEXTS)
    assert tokens.inputs.keys() == {"input_ids"}
    assert tokens.inputs["input_ids"].shape == (len(TEXTS), 16)
    assert_same_directions(model.text_features(tokens), plain.text_features(plain.tokenize(TEXTS)))
    assert (model.info.text_batching, model.info.text_cleaning) == ("padded", "siglip")


@torch.no_grad()
def test_siglips_text_tower_in_a_dual_encoder_is_padded(tmp_path):
    tokenizer = siglip_tokenizer(tmp_path)
    text = SiglipTextConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=16, projection_size=32)
    torch.manual_seed(0)
    network = VisionTextDualEncoderModel(
        vision_model=ViTModel(ViTConfig(**VISION)), text_model=SiglipTextModel(text)
    ).eval()
    processor = load_model(
        "dual_encoder",
        model_args={"vision": str(build_vit(tmp_path / "vit")), "text": str(_bert(tmp_path))},
    ).image_processor
    model = TransformersModel(network, tokenizer, processor, id="dual")
    assert model.info.text_batching == "padded"
    ids = tokenizer(TEXTS, padding="max_length", max_length=16, truncation=True, return_tensors="pt")["input_ids"]
    expected = network.text_projection(network.text_model(input_ids=ids).pooler_output)
    assert_same_directions(model.text_features(model.tokenize(TEXTS)), expected)


def _bert(folder):
    from tests.models.builders import build_bert

    return build_bert(folder / "bert")


def nllb(folder, language="eng_Latn"):
    """NLLB's tokenizer over a few words: a language's code, the text, the end."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *sorted(set("".join(WORDS)))]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    NllbTokenizer(vocab=vocab, merges=[], src_lang="eng_Latn").save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=24, language=language)


@pytest.mark.parametrize("language", ["eng_Latn", "fra_Latn"])
def test_nllbs_language_comes_first_and_a_code_in_a_caption_is_text(tmp_path, language):
    tokenizer = nllb(tmp_path / "nllb", language)
    code = tokenizer.tokenizer.convert_tokens_to_ids(language)
    model = _open_clip_model(tokenizer, tmp_path)
    ids = model.tokenize(["a cat", "a cat deu_Latn</s>", "cat " * 40]).inputs["input_ids"]
    assert ids[:, 0].tolist() == [code] * 3
    assert ids[0, -1 - int(ids[0].eq(1).sum())] == 2
    assert ids[2, -1] == 2  # the end outlives the cut
    assert (ids[1] == 2).sum() == 1
    assert tokenizer.tokenizer.convert_tokens_to_ids("deu_Latn") not in ids[1].tolist()


def test_nllbs_language_is_part_of_the_fingerprint(tmp_path):
    english, french = (_open_clip_model(nllb(tmp_path / name, name), tmp_path) for name in ("eng_Latn", "fra_Latn"))
    assert english.fingerprint != french.fingerprint


def test_the_language_of_a_task_comes_first_and_is_taken_back(tmp_path):
    tokenizer = nllb(tmp_path / "nllb")
    model = _open_clip_model(tokenizer, tmp_path)
    codes = {name: tokenizer.tokenizer.convert_tokens_to_ids(name) for name in ("eng_Latn", "deu_Latn", "ces_Latn")}
    for language, code, key in (("", "eng_Latn", ""), ("de", "deu_Latn", "deu_Latn"), ("cs", "ces_Latn", "ces_Latn"),
                                ("en", "eng_Latn", ""), ("", "eng_Latn", "")):  # fmt: skip
        assert model.use_language(language) == key
        assert int(model.tokenize(["a cat"]).inputs["input_ids"][0, 0]) == codes[code]
    with pytest.raises(ConfigError, match="language 'xx'"):
        model.use_language("xx")


def test_cached_texts_of_one_language_are_not_anothers(tmp_path):
    from clipbench.inference.embedding_cache import open_cache
    from clipbench.inference.profile import Profile
    from clipbench.inference.texts import TextEncoder

    model = _open_clip_model(nllb(tmp_path / "nllb"), tmp_path)
    encoder = TextEncoder(model, "auto", Profile(), open_cache(model, str(tmp_path / "cache"), lambda text: None))
    found = {}
    for language in ("", "de", "", "de"):
        encoder.use_language(language)
        found.setdefault(language, []).append(encoder.features(["a cat"])[0].tolist())
    assert found[""][0] == found[""][1]
    assert found["de"][0] == found["de"][1]
    assert found["de"][0] != found[""][0]


def _open_clip_model(tokenizer, folder):
    config = open_clip_config("siglip", folder / "t")
    config["text_cfg"].update(vocab_size=len(tokenizer.tokenizer), context_length=24)
    torch.manual_seed(0)
    network = open_clip.CustomTextCLIP(
        **{key: copy.deepcopy(value) for key, value in config.items() if key != "custom_text"}
    )
    open_clip.set_model_preprocess_cfg(network, {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3})
    return OpenClipModel(network, tokenizer, config, id="nllb", architecture="nllb", dtype=torch.float32)


@pytest.mark.parametrize(
    "family", ["clip", "metaclip2", "siglip", "siglip2-naflex", "align", "altclip", "chinese-clip"]
)
def test_a_cut_text_still_ends(model_families, family):
    model = load_model(str(model_families(family)))
    end = model.tokenizer.eos_token_id if model.tokenizer.eos_token_id is not None else model.tokenizer.sep_token_id
    ids = model.tokenize(["cat " * 200]).inputs["input_ids"][0]
    assert ids[-1] == end or family == "siglip2-naflex"  # whose tiny tokenizer adds none
