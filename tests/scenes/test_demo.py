"""The model that ships: it loads everywhere, fits the wheel, and scores what its card says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import clipbench
from benchmarks.word_order import with_shuffled_words
from clipbench.scenes.model import build_words, encode_texts, shrink
from clipbench.scenes.pretrain import Recipe, embed_pictures, text_embeddings
from clipbench.scenes.tokenizer import build_tokenizer
from clipbench.scenes.world import World

DEMO = Path(clipbench.__file__).parent / "scenes" / "demo"
CARD = (DEMO / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def loaded():
    from transformers import AutoTokenizer, CLIPModel

    return CLIPModel.from_pretrained(DEMO).eval(), AutoTokenizer.from_pretrained(DEMO)


def test_it_fits_the_wheel():
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 6_000_000
    assert {path.suffix for path in DEMO.iterdir()} == {".json", ".safetensors", ".md"}


def test_it_loads_as_an_ordinary_transformers_model(loaded):
    from transformers import AutoImageProcessor, AutoModel, CLIPProcessor

    model, tokenizer = loaded
    assert type(AutoModel.from_pretrained(DEMO)).__name__ == "CLIPModel"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    picture = World("test", 1)[0]
    inputs = CLIPProcessor.from_pretrained(DEMO)(
        text=list(picture.captions), images=picture.draw(), padding=True, return_tensors="pt"
    )
    pillow = AutoImageProcessor.from_pretrained(DEMO, backend="pil")  # the default resizes by other arithmetic
    inputs["pixel_values"] = pillow(images=picture.draw(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(**inputs).logits_per_image[0]
        ids, _ = encode_texts(tokenizer, list(picture.captions))
        ours = (embed_pictures(model, shrink(picture.draw())[None]) @ text_embeddings(model, ids).T)[0]
    assert torch.allclose(logits / model.logit_scale.exp(), ours, atol=1e-5)


def test_its_tokenizer_is_the_one_the_script_makes(loaded):
    made = build_tokenizer(build_words())
    assert made.get_vocab() == loaded[1].get_vocab()
    for text in World("val", 3)[2].captions:
        assert made(text)["input_ids"] == loaded[1](text)["input_ids"]


def test_it_finds_pictures_it_has_never_seen(loaded):
    model, tokenizer = loaded
    world = list(World("test", 200))
    pictures = embed_pictures(model, np.stack([shrink(picture.draw()) for picture in world]))
    ids, _ = encode_texts(tokenizer, [picture.captions[0] for picture in world])
    with torch.no_grad():
        scores = text_embeddings(model, ids) @ pictures.T
    rank = (scores >= scores.diagonal()[:, None]).sum(1)
    assert (rank <= 5).float().mean() > 0.85


def quoted(task):
    """A task's score as the card's table gives it."""
    found = re.search(rf"^\| `{task}` \| [^|]+ \| ([0-9.]+)", CARD, re.MULTILINE)
    assert found, f"the card has no {task}"
    return float(found[1])


def test_it_scores_what_its_card_says():
    tasks = ["scenes_inpaint_object", "scenes_inpaint_color", "scenes_inpaint_size", "scenes_location"]
    results = clipbench.evaluate("demo", tasks)
    for task in tasks:
        assert results.metric(task, "acc") == pytest.approx(quoted(task), abs=0.015), task


def test_the_card_covers_the_group_and_leaves_gaps_to_close():
    for task in clipbench.load_tasks("scenes"):
        quoted(task.name)
    assert quoted("scenes_retrieval") > 0.6
    assert quoted("scenes_object") > 0.5
    assert quoted("scenes_location") < 0.65
    assert quoted("scenes_color") < 0.75


def test_the_card_tells_the_recipe():
    recipe = Recipe()
    for name in ("scenes", "layout_steps", "contrast_steps"):
        assert f"{getattr(recipe, name):,}" in CARD, name


def test_it_is_a_bag_of_words():
    task = clipbench.load_tasks("scenes_inpaint_object")[0]
    results = clipbench.evaluate("demo", [task, with_shuffled_words(task)])
    assert abs(results.metric(task.name, "acc") - results.metric(f"{task.name}_shuffled", "acc")) < 0.06
