import re

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from clipbench.models import load_model
from clipbench.models.convert import to_other_format
from clipbench.results import Measure, Results, SampleCounts, TaskResult
from clipbench.training.markdown import markdown_text
from clipbench.training.model_card import CardFacts, write_model_card
from tests.seeded import build_clip

ODD = "a|b \"c\" 'd': <script>alert(1)</script> `x` # *y* [z](javascript:1)\n---\n{{ 7 * 7 }} 白"
HUB = {"repo": "me/pairs", "revision": "main", "split": "test", "config": "big"}


def results(values, n=200, complete=True, errors=()):
    """Results of a ranking over a local copy and of pairs from the hub."""
    found = Results(model_name="m")
    kinds = {"color": ("ranking", "coco", 1 / 9, {}), "inpaint": ("pairs", "pairs", 1 / 4, HUB)}
    for (task, value), (task_type, dataset, chance, hub) in zip(values.items(), kinds.values(), strict=True):
        data = {"layout": "hub" if hub else "coco", "location": hub.get("repo", "/home/me/coco"), "fingerprint": "f"}
        found.tasks[task] = TaskResult(
            metrics={"acc": Measure(value, 0.0123)}, higher_is_better={"acc": True}, version=2,
            counts=SampleCounts(original=n, effective=n),
            declaration={"dataset": dataset, "hub": hub or {"repo": "me/coco", "revision": "x", "split": "val"}},
            task_type=task_type, primary_metric="acc", chance=chance, complete=complete,
            data={**data, "revision": "0" * 40 if hub else None}, error="broken" if task in errors else None,
            problems=[] if complete else ["limited to the first 3 samples"],
        )  # fmt: skip
    return found


def facts(**changes):
    made = {
        "name": "clip-hn1",
        "library": "transformers",
        "base_model": "openai/clip-vit-base-patch32",
        "concepts": {"color": ("white", "brown"), "location": ("in front of",)},
        "recipe": {"learning_rate": 5e-6, "optimizer": {"name": "adamw", "betas": (0.9, 0.98)}, "warmup": None},
        "data": {"source": "coco", "pairs": 92006},
        "results": results({"color": 0.8125, "inpaint": 0.75}),
        "base_results": results({"color": 0.5, "inpaint": 0.25}),
    }
    return CardFacts(**{**made, **changes})


def write(tmp_path, **changes):
    path = write_model_card(tmp_path, facts(**changes))
    assert path == tmp_path / "README.md"
    return path.read_text(encoding="utf-8"), ModelCard.load(path)


def cells(text, first):
    """The cells of the table row that starts with ``first``."""
    (line,) = re.findall(rf"^\| {re.escape(first)} \|.*$", text, re.MULTILINE)
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_metadata_come_back_through_the_hubs_own_reader(tmp_path):
    _, card = write(tmp_path, datasets=["me/pairs", "/home/me/coco", "no id at all"])
    data = card.data
    assert (data.library_name, data.license, data.datasets) == ("transformers", None, ["me/pairs"])
    assert (data.base_model, data.base_model_relation) == ("openai/clip-vit-base-patch32", "finetune")
    assert {"clip", "hard-negatives", "clipbench"} <= set(data.tags)
    assert data.pipeline_tag == "zero-shot-image-classification"
    by_name = {result.metric_name: result for result in data.eval_results}
    assert by_name.keys() == {"color acc", "inpaint acc"}
    color, inpaint = by_name["color acc"], by_name["inpaint acc"]
    assert (color.metric_value, color.metric_type, color.task_type) == (0.8125, "acc", "zero-shot-image-classification")
    assert (color.dataset_type, color.dataset_revision, color.dataset_split) == ("coco", None, None)
    assert color.metric_args == {
        "task": "color", "version": 2, "stderr": 0.0123, "n": 200, "chance": pytest.approx(1 / 9),
    }  # fmt: skip
    assert (inpaint.dataset_type, inpaint.dataset_revision) == ("me/pairs", "0" * 40)
    assert (inpaint.dataset_config, inpaint.dataset_split) == ("big", "test")
    assert [result.verified for result in data.eval_results] == [False, False]
    index = eval_results_to_model_index(data.model_name, data.eval_results)
    assert model_index_to_eval_results(index) == ("clip-hn1", data.eval_results)


def test_every_task_keeps_its_name_though_the_hub_groups_by_data_set(tmp_path):
    """Two rankings on one data set become one entry of the index: what tells them apart is with the metric."""
    both = results({"color": 0.5, "inpaint": 0.25})
    both.tasks["inpaint"].task_type = "ranking"
    both.tasks["inpaint"].data = both.tasks["color"].data
    both.tasks["inpaint"].declaration = both.tasks["color"].declaration
    _, card = write(tmp_path, results=both)
    assert {r.metric_name: (r.metric_value, r.metric_args["task"]) for r in card.data.eval_results} == {
        "color acc": (0.5, "color"), "inpaint acc": (0.25, "inpaint"),
    }  # fmt: skip


def test_names_of_any_kind_break_neither_yaml_nor_markdown(tmp_path):
    text, card = write(
        tmp_path, name=ODD, base_model=ODD, concepts={ODD: [ODD]}, recipe={ODD: ODD}, data={ODD: [ODD]},
        training={ODD: ODD}, datasets=[ODD],
    )  # fmt: skip
    _, header, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    read = yaml.safe_load(header)
    assert read["model-index"][0]["name"] == " ".join(ODD.split())
    assert not {"license", "base_model", "base_model_relation", "datasets"} & read.keys()
    assert len(card.data.eval_results) == 2
    assert "<script" not in body
    assert "49" not in body.split("## Concepts")[0]
    rows = [line for line in body.splitlines() if line.startswith("| a")]
    assert len(rows) == 3
    assert all(len(re.split(r"(?<!\\)\|", row)) == 4 for row in rows)
    assert len(re.findall(r"^# ", body.split("```")[0], re.MULTILINE)) == 1


def test_every_field_of_the_recipe_is_in_the_table(tmp_path):
    text, _ = write(tmp_path)
    assert cells(text, "learning\\_rate")[1] == "5e-06"
    assert cells(text, "optimizer.name")[1] == "adamw"
    assert cells(text, "optimizer.betas")[1] == "0.9, 0.98"
    assert cells(text, "warmup")[1] == "–"
    assert cells(text, "pairs")[1] == "92006"
    assert "**color**: white, brown" in text


def test_scores_stand_beside_the_base_models_of_the_same_samples(tmp_path):
    text, _ = write(tmp_path)
    assert cells(text, "color") == ["color", "2", "acc", "0.8125 ± 0.0123", "0.5000 ± 0.0123", "0.1111", "200"]
    text, _ = write(tmp_path, base_results=results({"color": 0.5, "inpaint": 0.25}, n=199))
    assert cells(text, "color")[4] == "–"
    other = results({"color": 0.5, "inpaint": 0.25})
    other.tasks["color"].version = 1
    text, _ = write(tmp_path, base_results=other)
    assert (cells(text, "color")[4], cells(text, "inpaint")[4]) == ("–", "0.2500 ± 0.0123")
    text, _ = write(tmp_path, base_results=None)
    assert cells(text, "color")[4] == "–"


def test_scores_of_part_of_the_data_are_no_metadata(tmp_path):
    text, card = write(tmp_path, results=results({"color": 0.5, "inpaint": 0.25}, complete=False))
    assert card.data.eval_results is None
    assert "model-index" not in text
    assert "color: limited to the first 3 samples" in text


def test_a_task_that_failed_has_no_score(tmp_path):
    text, card = write(tmp_path, results=results({"color": 0.5, "inpaint": 0.25}, errors=["color"]))
    assert [result.metric_name for result in card.data.eval_results] == ["inpaint acc"]
    assert not re.findall(r"^\| color", text, re.MULTILINE)
    assert "- broken" in text


def test_a_card_without_scores_says_so(tmp_path):
    text, card = write(tmp_path, results=None, base_results=None)
    assert "Not evaluated." in text
    assert card.data.eval_results is None


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("openai/clip", "openai/clip"),
        ("hf:openai/clip", "openai/clip"),
        ("open_clip:hf-hub:laion/CLIP-ViT-B-32", "laion/CLIP-ViT-B-32"),
        ("open_clip:ViT-B-32/laion2b", None),
        ("demo", None),
        ("/home/someone/secret/base", None),
        ("~/base", None),
    ],
)
def test_only_a_hub_id_is_a_base_model(tmp_path, named, kept):
    text, card = write(tmp_path, base_model=named)
    assert card.data.base_model == kept
    assert "someone" not in text


def test_a_local_folder_that_looks_like_a_hub_id_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "base").mkdir(parents=True)
    assert write(tmp_path, base_model="out/base")[1].data.base_model is None


def test_where_things_lie_on_the_disk_is_not_told(tmp_path):
    text, _ = write(tmp_path, recipe={"output_path": "/home/someone/out", "data": ["C:\\Users\\someone\\coco"]})
    assert "someone" not in text
    assert cells(text, "output\\_path")[1] == "out"


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_the_lines_that_load_the_checkpoint_do(tmp_path, library):
    folder = build_clip(tmp_path / "model", library=library)
    model = load_model(str(folder))
    other = to_other_format(model, folder)
    text, _ = write(tmp_path, library=library, other_format=other.name, model=model.info.to_dict())
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        scope = {}
        runnable = block.replace("DIRECTORY", str(folder))
        exec("\n".join(line for line in runnable.splitlines() if "evaluate" not in line), scope)
        assert "model" in scope


def test_the_card_lies_beside_the_weights_and_stays_when_they_are_saved_again(tmp_path):
    folder = build_clip(tmp_path / "model")
    model = load_model(str(folder))
    write_model_card(folder, facts())
    model.save(folder)
    assert (folder / "README.md").is_file()
    assert load_model(str(folder)).fingerprint == model.fingerprint


def test_text_is_one_line_without_markup():
    assert markdown_text("a|b\n*c* \x00<i>") == "a\\|b \\*c\\* &lt;i&gt;"
    assert markdown_text({"b", "a"}) == "a, b"
    assert markdown_text(None) == "–"
    assert markdown_text(0) == "0"


def test_a_control_is_not_said_to_have_hard_negatives(tmp_path):
    recipe = {"negatives": 0, "concepts": ["none"]}
    text, _ = write(tmp_path, recipe=recipe, concepts={})
    assert "from openai/clip-vit-base-patch32 by clipbench, without hard negatives." in text
    assert "## Concepts" not in text
    assert "exchanged" not in text
    text, _ = write(tmp_path, recipe={**recipe, "concepts": ["color"]}, concepts={"color": ("white",)})
    assert "trained on captions with one of these keywords.\n\n- **color**: white\n" in text
    assert "Hard negatives were made" not in text


def test_hard_negatives_of_the_data_are_not_said_to_be_exchanged_keywords(tmp_path):
    text, _ = write(tmp_path, recipe={"negatives": 1, "negatives_from": ["neg_caption"]})
    assert r"Their hard negatives came with the data (neg\_caption)." in text
    assert "exchanged" not in text


def test_an_average_and_a_choice_are_said(tmp_path):
    recipe = {"negatives": 1, "ema": 0.999, "select": "a@b>=-0.02"}
    selected = {"step": 120, "satisfied": True, "scores": {"a": 0.5}, "changes": {"a": 0.1}}
    text, _ = write(tmp_path, recipe=recipe, training={"steps": 360, "selected": selected})
    assert "exponential moving average of the trained ones, with the decay 0.999 per step" in text
    assert "The model is the checkpoint of step 120 of 360, chosen by a@b&gt;=-0.02.\n" in text
    text, _ = write(tmp_path, recipe=recipe, training={"steps": 360, "selected": {**selected, "satisfied": False}})
    assert "which none satisfies: it misses the bound least." in text
    text, _ = write(tmp_path, recipe={"negatives": 1, "ema": None}, training={"steps": 360})
    assert "average" not in text.split("## Scores")[0]
    assert "chosen by" not in text
