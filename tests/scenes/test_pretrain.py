import numpy as np
import pytest
import torch

from clipbench.scenes.layout_pretraining import LayoutHeads, layout_loss, layouts_of
from clipbench.scenes.model import build_model, build_processor, build_words, encode_texts, shrink
from clipbench.scenes.pretrain import Recipe, as_pixels, contrastive_loss, embed_pictures, pretrain, text_embeddings
from clipbench.scenes.scene import COLORS, NAMES, Scene, SceneObject
from clipbench.scenes.tokenizer import build_tokenizer, byte_letters, learn_merges
from clipbench.scenes.world import World

TINY = Recipe(scenes=12, layout_steps=3, layout_batch=4, contrast_steps=2, contrast_batch=4)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(build_words(scenes=100))


def test_merges_by_hand():
    assert learn_merges(["ab ab", "abc", "zab"]) == [("a", "b</w>"), ("a", "b"), ("ab", "c</w>"), ("z", "ab</w>")]


def test_letters_are_those_of_clips_own_vocabulary():
    letters = byte_letters()
    assert len(set(letters)) == 256
    assert (letters[0], letters[93], letters[94], letters[188]) == ("!", "~", "¡", "Ā")


def test_the_worlds_words_are_one_token_each(tokenizer):
    text = "a small orange traffic light in front of a skateboard , giraffe"
    assert len(tokenizer(text)["input_ids"]) == len(text.split()) + 2
    assert tokenizer("A CUP")["input_ids"] == tokenizer("a cup")["input_ids"]


@pytest.mark.parametrize("text", ["Zürich 猫 12!", "", "qwxyz", "\U0001f600"])
def test_any_text_can_be_encoded(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == len(tokenizer) - 2
    assert ids[-1] == len(tokenizer) - 1
    assert len(tokenizer) - 1 not in ids[:-1], "an unknown token is taken for the end of the text"
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded.replace(" ", "") == text.lower().replace(" ", "")


def test_variants_share_their_tokens_up_to_the_keyword(tokenizer):
    first, second = (tokenizer(f"a {word} on the left")["input_ids"] for word in ("cup", "giraffe"))
    assert first[:2] == second[:2]
    assert first[3:] == second[3:]


def test_layouts_by_hand():
    cup = SceneObject("cup", "red", "large", 90, 64, 192, 1, (0, 0, 0))
    layouts = layouts_of([Scene("test", 0, 0, "room", (cup,))], patches=8)
    number = NAMES.index("cup")
    assert layouts.color[0, number] == list(COLORS).index("red")
    assert (layouts.color[0] >= 0).sum() == 1
    assert layouts.measures[0, number].tolist() == [-1, 1, 1, 1]
    covered = layouts.patch[0].reshape(8, 8) == number
    # the square spans 19..109 across and 147..237 down; patch centres lie at 16, 48, 80, ...
    assert np.argwhere(covered).tolist() == [[row, column] for row in (5, 6) for column in (1, 2)]


def test_every_part_of_a_layout_can_be_learnt():
    torch.manual_seed(0)
    model, world = build_model(1000), World("train", 4)
    heads = LayoutHeads(128)
    pixels = as_pixels(np.stack([shrink(picture.draw()) for picture in world]))
    target = layouts_of([picture.scene for picture in world], 8)
    optimizer = torch.optim.AdamW([*model.parameters(), *heads.parameters()], lr=2e-3)
    losses = []
    for _ in range(40):
        loss, read = layout_loss(model, heads, pixels, target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4
    assert read["color"] > 0.9


def test_pixels_are_those_of_the_saved_processor(tokenizer, tmp_path):
    from transformers import AutoImageProcessor

    build_processor(tokenizer).save_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    picture = World("test", 1)[0].draw()
    expected = processor(images=picture, return_tensors="pt")["pixel_values"]
    assert torch.allclose(as_pixels(shrink(picture)[None]), expected, atol=1e-5)


def test_the_contrastive_loss_is_the_models_own(tokenizer):
    torch.manual_seed(0)
    model = build_model(len(tokenizer)).eval()
    world = World("test", 5)
    pictures = np.stack([shrink(picture.draw()) for picture in world])
    ids, _ = encode_texts(tokenizer, [picture.captions[0] for picture in world])
    with torch.no_grad():
        ours = contrastive_loss(model, embed_pictures(model, pictures), text_embeddings(model, ids))
        theirs = model(input_ids=ids, pixel_values=as_pixels(pictures), return_loss=True).loss
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


def weights(folder):
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(folder).state_dict()


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    pretrain(folder, TINY, save_every=1)
    return weights(folder)


def test_a_run_can_be_repeated(tmp_path, whole):
    pretrain(tmp_path, TINY)
    assert same(whole, weights(tmp_path))


@pytest.mark.parametrize("where", [("layout", 2), ("contrast", 2)])
def test_a_run_can_be_resumed(tmp_path, monkeypatch, whole, where):
    def interrupt(*args):
        if args[:2] == where:
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr("clipbench.scenes.pretrain._log", interrupt)
        with pytest.raises(Interrupted):
            pretrain(tmp_path, TINY, save_every=1)
    assert (tmp_path / f"{where[0]}.pt").exists()
    assert not (tmp_path / "model.safetensors").exists()
    pretrain(tmp_path, TINY, save_every=1)
    assert same(whole, weights(tmp_path))


def test_another_recipe_starts_anew(tmp_path):
    pretrain(tmp_path / "one", TINY)
    before = weights(tmp_path / "one")
    pretrain(tmp_path / "one", Recipe(**{**{name: getattr(TINY, name) for name in TINY.__slots__}, "seed": 1}))
    assert not same(before, weights(tmp_path / "one"))


def test_only_the_text_side_learns_in_the_second_stage(tmp_path):
    short, long = (
        Recipe(**{**{name: getattr(TINY, name) for name in TINY.__slots__}, "contrast_steps": steps})
        for steps in (0, 2)
    )
    pretrain(tmp_path / "short", short)
    pretrain(tmp_path / "long", long)
    one, two = weights(tmp_path / "short"), weights(tmp_path / "long")
    changed = {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])}
    assert changed == {"text_model", "text_projection", "logit_scale"}
