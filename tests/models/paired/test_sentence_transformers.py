"""Folders of sentence-transformers: pooling, layers after it, length, case, prompt."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from clipbench.errors import ModelError
from clipbench.models import load_model
from tests.models.builders import build_vit
from tests.models.paired.encoders import build_text_encoder

WORDS = ["a cat", "the red bird in front of a house", "two Dogs"]
POOLINGS = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


@pytest.fixture
def vit(tmp_path):
    return build_vit(tmp_path / "vit")


def write(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def sentence_folder(folder, *, pooling, kinds=("Pooling",), subfolder="", **files):
    """A BERT with modules: the first, ``Transformer``, in ``subfolder``, further ones in numbered folders."""
    build_text_encoder(folder / subfolder, "bert")
    paths = [subfolder, *(f"{number}_{kind}" for number, kind in enumerate(kinds, 1))]
    types = ["models.Transformer", *(f"models.{kind}" for kind in kinds)]
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.{kind}"}
        for index, (path, kind) in enumerate(zip(paths, types, strict=True))
    ]
    write(folder, "modules.json", entries)
    write(folder, "1_Pooling/config.json", pooling)
    for name, content in files.items():
        write(folder, name.replace("__", "/") + ".json", content)
    return folder


def flags(*chosen):
    """A pooling module's settings as all versions up to 5 wrote them."""
    return {
        "word_embedding_dimension": 32,
        **{
            f"pooling_mode_{name}" if name != "lasttoken" else "pooling_mode_lasttoken": name in chosen
            for name in POOLINGS
        },
    }


def pair(vit, folder, **arguments):
    given = {"vision": str(vit), "text": str(folder), "projection_dim": 16, **arguments}
    return load_model("dual_encoder", model_args=given, device="cpu")


def states_of(folder, text):
    """The last states ``(1, L, D)`` of one text, without padding."""
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    return AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (flags("mean_tokens"), "mean"),
        (flags("cls_token"), "cls"),
        (flags("lasttoken"), "last"),
        (flags("max_tokens", "cls_token"), "cls+max"),
        (flags("weightedmean_tokens", "mean_sqrt_len_tokens"), "mean_sqrt_len+weighted_mean"),
        ({"embedding_dimension": 32, "pooling_mode": "mean"}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": ["cls", "lasttoken"]}, "cls+last"),
    ],
)
def test_the_pooling_is_what_the_folder_says(vit, tmp_path, pooling, expected):
    folder = sentence_folder(tmp_path / "st", pooling=pooling)
    assert pair(vit, folder).module.config.text_pooling == expected
    assert pair(vit, folder, text_pooling="cls").module.config.text_pooling == "cls"


@torch.no_grad()
@pytest.mark.parametrize("subfolder", ["", "0_Transformer"])
def test_layers_after_the_pooling_are_applied(vit, tmp_path, subfolder):
    dense = {
        "in_features": 32,
        "out_features": 24,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    folder = sentence_folder(
        tmp_path / "st",
        pooling=flags("mean_tokens"),
        kinds=("Pooling", "Dense", "LayerNorm", "Normalize"),
        subfolder=subfolder,
        **{"2_Dense__config": dense, "3_LayerNorm__config": {"dimension": 24}},
    )
    weights = {"linear.weight": torch.randn(24, 32), "linear.bias": torch.randn(24)}
    norm = {"norm.weight": torch.randn(24), "norm.bias": torch.randn(24)}
    save_file(weights, folder / "2_Dense/model.safetensors")
    save_file(norm, folder / "3_LayerNorm/model.safetensors")
    model = pair(vit, folder)
    found = model.text_features(model.tokenize(WORDS))
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), device="cpu")
    assert torch.equal(again.text_features(again.tokenize(WORDS)), found)
    for text, features in zip(WORDS, found, strict=True):
        pooled = states_of(folder / subfolder, text).mean(1)
        hidden = torch.tanh(pooled @ weights["linear.weight"].T + weights["linear.bias"])
        scaled = (hidden - hidden.mean()) / torch.sqrt(hidden.var(correction=0) + 1e-5)
        normed = scaled * norm["norm.weight"] + norm["norm.bias"]
        expected = normed / normed.norm() @ model.module.text_projection.weight.T
        torch.testing.assert_close(features[None], expected, rtol=1e-4, atol=1e-6)
    with_own_pooling = pair(vit, folder, text_pooling="cls")
    assert not with_own_pooling.module.config.text_layers  # they were trained on the mean


@torch.no_grad()
def test_length_case_and_prompt(vit, tmp_path):
    folder = sentence_folder(
        tmp_path / "st",
        pooling=flags("mean_tokens"),
        sentence_bert_config={"max_seq_length": 9, "do_lower_case": True},
        config_sentence_transformers={"prompts": {"query": "photo of "}, "default_prompt_name": "query"},
    )
    model = pair(vit, folder)
    assert model.context_length == 9
    tokens = model.tokenize(["two dogs", "a white dog in front of a large wooden house and a cat"])
    assert tokens.truncated == (False, True)
    expected = states_of(folder, "photo of two dogs").mean(1) @ model.module.text_projection.weight.T
    torch.testing.assert_close(model.text_features(model.tokenize(["Two DOGS"])), expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), device="cpu")
    assert again.context_length == 9
    torch.testing.assert_close(again.text_features(again.tokenize(["Two DOGS"])), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kinds", "pooling", "files", "message"),
    [
        (("Pooling", "CNN"), flags("cls_token"), {}, "a module CNN of sentence-transformers is not supported"),
        (("Pooling",), flags(), {}, "1_Pooling/config.json chooses no pooling"),
        (
            ("Pooling", "Dense"),
            flags("cls_token"),
            {"2_Dense__config": {"in_features": 32}},
            "modules are damaged: 'out_f",
        ),
        (
            ("Pooling", "Dense"),
            flags("cls_token"),
            {"2_Dense__config": {"in_features": 32, "out_features": 8, "activation_function": "a.Swish"}},
            "2_Dense holds no weights",
        ),
        (
            ("Pooling",),
            {**flags("cls_token"), "include_prompt": False},
            {"config_sentence_transformers": {"prompts": {"q": "x"}, "default_prompt_name": "q"}},
            "its pooling leaves out the prompt's tokens",
        ),
    ],
)
def test_what_cannot_be_reproduced_is_refused(vit, tmp_path, kinds, pooling, files, message):
    folder = sentence_folder(tmp_path / "st", pooling=pooling, kinds=kinds, **files)
    with pytest.raises(ModelError, match=f"^text encoder: .*{message}"):
        pair(vit, folder)


def test_a_damaged_list_of_modules_is_reported(vit, tmp_path):
    folder = sentence_folder(tmp_path / "st", pooling=flags("cls_token"))
    (folder / "modules.json").write_text("[")
    with pytest.raises(ModelError, match=r"^text encoder: .*modules\.json is not valid JSON"):
        pair(vit, folder)
