"""What the adapters use of open_clip and transformers, so that an update that changes it fails here first."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import open_clip
import pytest
import torch
import transformers

from clipbench.errors import ModelError
from clipbench.models import load_model
from clipbench.models.versions import TESTED
from tests.models.test_in_memory import open_clip_triple, transformers_pair  # noqa: F401

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OPEN_CLIP = {
    "create_model": "model_name pretrained load_weights precision device pretrained_text weights_only model_kwargs",
    "factory.create_model": "require_pretrained",
    "get_model_config": "model_name",
    "list_models": "",
    "list_pretrained_tags_by_model": "model",
    "get_pretrained_cfg": "model tag",
    "set_model_preprocess_cfg": "model preprocess_cfg",
    "pretrained.download_pretrained_from_hf": "model_id filename revision",
    "convert.convert_state_dict": "model state_dict",
    "model.convert_to_custom_text_state_dict": "state_dict",
    "model.convert_weights_to_lp": "model dtype",
    "tokenizer.SimpleTokenizer": "context_length clean",
    "tokenizer.HFTokenizer": "tokenizer_name context_length clean strip_sep_token tokenizer_mode kwargs",
    "transform.image_transform_v2": "cfg is_train",
    "transformer.text_global_pool": "x text pool_type eos_token_id",
    "CLIP": "embed_dim vision_cfg text_cfg quick_gelu init_logit_bias cast_dtype",
    "CoCa": "embed_dim vision_cfg text_cfg quick_gelu init_logit_bias cast_dtype multimodal_cfg",
    "CustomTextCLIP": "embed_dim vision_cfg text_cfg quick_gelu init_logit_bias cast_dtype",
}


@pytest.mark.parametrize("name", OPEN_CLIP)
def test_functions_of_open_clip_take_what_they_are_given(name):
    function = open_clip
    for part in name.split("."):
        function = getattr(function, part)
    assert set(OPEN_CLIP[name].split()) <= set(inspect.signature(function).parameters)


def test_networks_and_tokenizers_of_open_clip_have_what_is_read_off_them():
    vision = {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    network = open_clip.CLIP(8, vision, text, quick_gelu=True)
    assert network.text_pool_type == "argmax"
    assert (network.context_length, network.vocab_size) == (77, 49408)
    assert network.attn_mask.shape == (77, 77)
    assert network.visual.image_size == (16, 16)
    assert network.transformer.get_cast_dtype() == torch.float32
    assert isinstance(network.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)
    assert "normalize" in inspect.signature(network.encode_text).parameters
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    assert (tokenizer.context_length, len(tokenizer.encoder), len(tokenizer.bpe_ranks)) == (77, 49408, 48894)
    assert tokenizer("a cat")[0, :5].tolist() == [49406, 320, 2368, 49407, 0]
    assert callable(tokenizer.clean_fn)
    fields = open_clip.transform.PreprocessCfg.__dataclass_fields__
    assert {"size", "mean", "std", "interpolation", "resize_mode"} <= set(fields)


def test_an_architecture_without_quickgelu_computes_gelu():
    config = open_clip.get_model_config("ViT-B-32")
    assert "quick_gelu" not in config
    assert open_clip.get_model_config("ViT-B-32-quickgelu")["quick_gelu"] is True
    assert open_clip.get_pretrained_cfg("ViT-B-32", "openai")["quick_gelu"] is True


def test_transformers_takes_what_it_is_given(pair):
    options = {"dtype": torch.float32, "weights_only": True, "output_loading_info": True}
    network, found = transformers.AutoModel.from_pretrained(pair[0], ignore_mismatched_sizes=True, **options)
    assert {"missing_keys", "unexpected_keys", "mismatched_keys"} <= set(found)
    ids = torch.tensor([[49406, 320, 49407]])
    assert network.get_text_features(input_ids=ids).pooler_output.shape == (1, network.config.projection_dim)
    processor = transformers.AutoImageProcessor.from_pretrained(pair[0], backend="pil")
    assert type(processor).__name__ == "CLIPImageProcessorPil"
    named = inspect.signature(network.text_model.forward).parameters
    assert {"input_ids", "attention_mask", "position_ids"} <= set(named)


@pytest.mark.parametrize(
    ("library", "version"), [("open_clip", "4.0.0"), ("open_clip", "2.32.0"), ("transformers", "6.0.0.dev0")]
)
def test_another_major_version_is_refused(library, version, pair, monkeypatch, request):
    package, major = TESTED[library]
    source = pair[0] if library == "transformers" else pair[1]
    fixture = f"{library}_pair" if library == "transformers" else f"{library}_triple"
    in_memory = request.getfixturevalue(fixture)
    monkeypatch.setattr(sys.modules[library], "__version__", version)
    for model in (str(source), in_memory):
        with pytest.raises(ModelError) as caught:
            load_model(model)
        assert f"{package} {version} is installed" in str(caught.value)
        assert f"pip install '{package}>={major},<{major + 1}'" in str(caught.value)


def test_the_packages_bounds_are_the_same():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    for package, major in TESTED.values():
        assert f"{package}>={major},<{major + 1}" in declared["project"]["dependencies"]


def test_the_tested_versions_are_documented():
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    for package, major in TESTED.values():
        assert re.search(rf"{package} {major}\.", page)
