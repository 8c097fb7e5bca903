import json
import shutil

import numpy as np
import pytest
import torch

from clipbench.errors import ConfigError, ModelError
from clipbench.models import load_model
from clipbench.training.interpolation import alpha_name, interpolate, parse_alphas
from tests.models.builders import FAMILIES, OPEN_CLIP_KINDS, build_clip, build_open_clip
from tests.oracles import numbered_image

TEXTS = ["a photo of a white cat", "two dogs"]
TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@pytest.mark.parametrize(
    ("text", "alphas"),
    [
        ("0,0.1,…,1", TENTHS),
        ("0, 0.1, ..., 1", TENTHS),
        ("1,0.9,…,0", TENTHS),
        ("0.5", (0.5,)),
        ("1,0,0.5,0.50", (0.0, 0.5, 1.0)),
        ("0,0.25,…,0.75,0.8", (0.0, 0.25, 0.5, 0.75, 0.8)),
        ("0,.5,...,1", (0.0, 0.5, 1.0)),
        ("1e-1", (0.1,)),
    ],
)
def test_alphas_as_people_write_them(text, alphas):
    assert parse_alphas(text) == alphas


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a number"),
        ("0,,1", "'' is not a number"),
        ("half", "'half' is not a number"),
        ("-0.1", "-0.1 is not between 0 and 1"),
        ("0,0.5,…,1.5", "1.5 is not between 0 and 1"),
        ("nan", "nan is not between 0 and 1"),
        ("inf", "inf is not between"),
        ("…,1", "write a range as"),
        ("0,…,1", "write a range as"),
        ("0,0.1,…", "write a range as"),
        ("0,0.3,…,1", "steps of 0.3 from 0.3 do not meet 1"),
        ("0,0,…,1", "do not meet 1"),
        ("0.5,0.6,…,0", "do not meet 0"),
        ("0,0.0001,…,1", "more than 1,000"),
        ("0,0.1,…,…,1", "'…' is not a number"),
    ],
)
def test_alphas_that_make_no_sense_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_alphas(text)


def test_a_name_an_alpha():
    names = [alpha_name(alpha) for alpha in (*TENTHS, 0.125, 0.001)]
    assert names[3] == "0.30"
    assert len(set(names)) == len(names)


def build(name, directory, seed):
    if name in OPEN_CLIP_KINDS:
        path = build_open_clip(directory / "model", name, seed=0)  # one folder for both: configs name files in it
        model = load_model(str(path))
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.module.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model
    return load_model(str(FAMILIES[name](directory / f"{name}-{seed}", seed=seed)))


def copies(model):
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def features(model):
    with torch.inference_mode():
        pixels = model.preprocess(numbered_image(900).resize((50, 70)))[None]
        return torch.cat([model.text_features(model.tokenize(TEXTS)), model.image_features(pixels)])


@pytest.mark.parametrize("name", ["clip", "siglip", "align", "dual-encoder", "resnet", "hf-text"])
def test_weights_are_the_mean_that_an_element_by_element_loop_gives(tmp_path, name):
    base, finetuned = build(name, tmp_path, 0), build(name, tmp_path, 1)
    low, high = copies(base), copies(finetuned)
    seen = 0
    for alpha, model in interpolate(base, finetuned, [0.0, 0.3, 1.0]):
        for key, tensor in model.module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            pairs = zip(low[key].reshape(-1)[:50].tolist(), high[key].reshape(-1)[:50].tolist(), strict=True)
            expected = [np.float32((1 - alpha) * a + alpha * b) for a, b in pairs]
            assert tensor.reshape(-1)[:50].tolist() == expected, key
            seen += 1
    assert seen


@pytest.mark.parametrize("name", ["clip", "align", "resnet"])
def test_the_ends_are_bit_for_bit_the_two_models(tmp_path, name):
    base, finetuned = build(name, tmp_path, 0), build(name, tmp_path, 1)
    ends = {0.0: copies(base), 1.0: copies(finetuned)}
    for alpha, model in interpolate(base, finetuned, [1.0, 0.5, 0.0]):
        same = [torch.equal(tensor, ends[round(alpha)][key]) for key, tensor in model.module.state_dict().items()]
        assert all(same) == (alpha in ends)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    root = tmp_path_factory.mktemp("ends")
    return build_clip(root / "base", seed=0), build_clip(root / "finetuned", seed=1)


@pytest.fixture(scope="module")
def ends(paths):
    """Both models, loaded once: interpolation leaves them as they were."""
    return tuple(load_model(str(path)) for path in paths)


def test_what_both_share_is_left_as_it_is(ends):
    weights = copies(ends[0])
    for _, model in interpolate(ends[0], ends[0], [0.1, 0.7]):
        assert all(torch.equal(tensor, weights[key]) for key, tensor in model.module.state_dict().items())


def test_the_logit_scale_is_interpolated_as_a_logarithm(ends):
    scales = [model.logit_scale.item() for model in ends]
    with torch.no_grad():
        ends[1].module.logit_scale.fill_(np.log(100 * scales[0]))
    for _, model in interpolate(*ends, [0.5]):
        assert model.logit_scale.item() == pytest.approx(10 * scales[0], rel=1e-5)


def test_each_alpha_has_the_fingerprint_of_its_weights(ends, tmp_path):
    base, finetuned = ends
    own = [base.fingerprint, finetuned.fingerprint]
    seen = {}
    for alpha, model in interpolate(base, finetuned, [0.0, 0.25, 1.0]):
        seen[alpha] = model.fingerprint
        if alpha == 0.25:
            model.save(tmp_path / "saved")
            expected = features(model)
    assert [seen[0.0], seen[1.0]] == own
    saved = load_model(str(tmp_path / "saved"))
    assert saved.fingerprint == seen[0.25] != own[0]
    assert torch.equal(features(saved), expected)


def test_the_base_has_its_weights_and_name_again_at_the_end(ends):
    base, finetuned = ends
    before = copies(base), copies(finetuned), base.id, base.fingerprint

    def unchanged():
        assert (base.id, base.fingerprint) == before[2:]
        for model, weights in zip(ends, before[:2], strict=True):
            assert all(torch.equal(tensor, weights[key]) for key, tensor in model.module.state_dict().items())

    names = [model.id for _, model in interpolate(base, finetuned, [0.5, 1.0])]
    assert len({*names, base.id, finetuned.id}) == 4
    unchanged()
    stopped = interpolate(base, finetuned, [0.5, 1.0])
    next(stopped)
    assert base.fingerprint != before[3]
    stopped.close()
    unchanged()
    broken = interpolate(base, finetuned, [0.5])
    next(broken)
    with pytest.raises(KeyboardInterrupt):
        broken.throw(KeyboardInterrupt())
    unchanged()


def test_gradients_stay_as_the_caller_has_them(ends):
    for _, model in interpolate(*ends, [0.5]):
        assert torch.is_grad_enabled()
        assert model.text_features(model.tokenize(TEXTS)).requires_grad
    with torch.no_grad():
        for _ in interpolate(*ends, [0.5]):
            assert not torch.is_grad_enabled()


def test_an_alpha_outside_is_refused(ends):
    with pytest.raises(ConfigError, match="1.5 is not between"):
        next(interpolate(*ends, [0.5, 1.5]))


def edited(path, directory, file, change):
    """A copy of a checkpoint with one of its JSON files changed."""
    shutil.copytree(path, directory)
    data = json.loads((directory / file).read_text())
    change(data)
    (directory / file).write_text(json.dumps(data))
    return directory


def swap_words(data):
    vocabulary = data["model"]["vocab"]
    vocabulary["white</w>"], vocabulary["red</w>"] = vocabulary["red</w>"], vocabulary["white</w>"]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda data: data["text_config"].update(hidden_act="gelu"), "activation"),
        ("config.json", lambda data: data["text_config"].update(num_attention_heads=4), "other text features"),
        ("config.json", lambda data: data["vision_config"].update(num_attention_heads=4), "other image features"),
        ("preprocessor_config.json", lambda data: data.update(image_mean=[0.5, 0.5, 0.5]), "preprocess images"),
        ("tokenizer.json", swap_words, "tokenizers read 'a white cat' differently"),
    ],
    ids=["activation", "text heads", "image heads", "preprocessing", "tokenizer"],
)
def test_what_shapes_do_not_show_is_refused_too(ends, paths, tmp_path, file, change, message):
    base, other = ends[0], load_model(str(edited(paths[0], tmp_path / "edited", file, change)))
    before = base.fingerprint
    with pytest.raises(ModelError, match=message) as caught:
        next(interpolate(base, other, [0.5]))
    assert "\n" not in str(caught.value)
    assert base.fingerprint == before


def test_models_of_other_shapes_names_or_precision_are_refused(ends, paths, tmp_path):
    base = ends[0]
    small = load_model(str(build_clip(tmp_path / "small", "small")))
    with pytest.raises(ModelError, match=r"is \(49408, 64\) torch.float32 in the first, \(49408, 128\)"):
        next(interpolate(base, small, [0.5]))
    siglip = load_model(str(FAMILIES["siglip"](tmp_path / "siglip")))
    with pytest.raises(ModelError, match="context_length|has weights|activation"):
        next(interpolate(base, siglip, [0.5]))
    half = load_model(str(paths[0]), dtype="bfloat16")
    with pytest.raises(ModelError, match="precision float32 and bfloat16"):
        next(interpolate(base, half, [0.5]))
    more = load_model(str(paths[0]))
    more.module.register_buffer("extra", torch.zeros(1))
    with pytest.raises(ModelError, match="only the second has weights extra"):
        next(interpolate(base, more, [0.5]))


def test_models_of_two_libraries_are_to_be_converted_first(ends, tmp_path):
    other = load_model(str(build_open_clip(tmp_path)))
    with pytest.raises(ModelError, match=r"convert one first with clipbench.models.convert.to_open_clip"):
        next(interpolate(other, ends[0], [0.5]))
