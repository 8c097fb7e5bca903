from dataclasses import replace

import pytest

from clipbench.errors import ConfigError
from clipbench.reproduce.kinds import Kind
from clipbench.reproduce.plan import count_captions, plan_study
from clipbench.reproduce.steps import Run, chosen, is_trained, recipe_of, runs_of, tasks_at, training_inputs
from clipbench.reproduce.study import load_study
from clipbench.utils.digest import digest

PAPER = load_study("paper")
RUNS = {run.name: run for run in runs_of(PAPER)}


def test_the_paper_trains_two_or_four_models_a_concept():
    assert list(RUNS) == [
        "orig",
        *(f"object-{kind}-seed0" for kind in ("control", "hn1", "hn2", "hn3")),
        *(f"color-{kind}-seed0" for kind in ("control", "hn1", "hn2", "hn3")),
        "location-control-seed0",
        "location-hn1-seed0",
        "size-control-seed0",
        "size-hn1-seed0",
    ]


def test_checkpoints_are_scored_on_what_their_tables_need_and_no_task_twice():
    color = RUNS["color-hn2-seed0"]
    assert tasks_at(PAPER, color, 0.3) == ["coco_color", "coco_retrieval_first"]
    assert tasks_at(PAPER, color, 2.0) == ["inpaintcoco_color", "coco_color", "coco_retrieval_first"]
    assert tasks_at(PAPER, color, 2.999) == [
        "inpaintcoco_color", "flickr30k_color", "sbu_color", "fashion200k_color", "nasa_earth_color", "coco_color",
        "coco_retrieval_first",
    ]  # fmt: skip
    assert tasks_at(PAPER, RUNS["location-control-seed0"], 1.0) == ["coco_location", "coco_retrieval_first"]
    assert sorted(tasks_at(PAPER, RUNS["orig"], 0)) == sorted(PAPER.tasks())


def test_only_picks_runs_and_tables():
    runs, tables = chosen(PAPER, "color-*, table1")
    assert {run.concept for run in runs} == {"color"}
    assert tables == {"table1"}
    assert tasks_at(PAPER, runs[0], 2.0, tables) == ["inpaintcoco_color"]
    assert tasks_at(PAPER, runs[0], 0.5, tables) == []
    with pytest.raises(ConfigError, match="only colour-hn1-seed0: no run or table.*color-hn1-seed0"):
        chosen(PAPER, "colour-hn1-seed0")


def test_a_table_alone_trains_only_what_it_shows():
    runs, tables = chosen(PAPER, "table1")
    assert {run.concept for run in runs} == {"", "object", "color", "size"}
    assert PAPER.tasks(tables) == ["inpaintcoco_object", "inpaintcoco_color", "inpaintcoco_size"]
    runs, tables = chosen(PAPER, "figure,location-hn1-seed0")
    assert [run.name for run in runs] == ["location-hn1-seed0"]
    assert tasks_at(PAPER, runs[0], 0.5, tables) == ["coco_location", "coco_retrieval_first"]


def test_a_training_is_known_by_what_its_concept_holds_not_by_where_it_lies(tmp_path):
    def name(folder, words):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shape.yaml").write_text(f"name: shape\nmutual: [{words}]\n")
        run = Run("shape-hn1-seed0", "demo", str(tmp_path / folder / "shape.yaml"), Kind(1), 0)
        return digest(training_inputs(PAPER, run, "d"))

    assert name("here", "round, square") == name("there", "round, square") != name("edited", "round, square, flat")


def test_a_training_is_another_one_where_an_input_differs():
    def name(study, run, data="d"):
        return digest(training_inputs(study, run, data))

    def with_recipe(**changes):
        training = PAPER.training
        return PAPER.model_copy(
            update={"training": training.model_copy(update={"recipe": {**training.recipe, **changes}})}
        )

    run = RUNS["color-hn1-seed0"]
    others = [
        name(PAPER, RUNS["color-hn2-seed0"]),
        name(PAPER, RUNS["size-hn1-seed0"]),
        name(PAPER, run, "another"),
        name(with_recipe(negatives_in="image_to_text"), run),
        name(with_recipe(learning_rate=1e-6), run),
        name(with_recipe(same_image="mask"), run),
        name(with_recipe(ema=0.9), run),
    ]
    assert name(PAPER, run) == name(load_study("paper"), run)
    assert len({name(PAPER, run), *others}) == 8


def test_a_study_of_before_there_were_further_settings_is_the_same_study():
    """Its trainings are recognized by a digest of their inputs, which must not change where nothing else does."""
    recipe = training_inputs(PAPER, RUNS["color-hn1-seed0"], "d")["recipe"]
    assert recipe == {
        "concepts": ["color"], "negatives": 1, "loss": "inbatch_replacement", "negatives_in": "both", "batch_size": 64,
        "epochs": 3, "max_steps": None, "learning_rate": 5e-6, "lr_schedule": "constant", "warmup_steps": 0,
        "cooldown_steps": 0, "weight_decay": 0.1, "max_grad_norm": None, "checkpoint_every": 0.1, "precision": "auto",
        "freeze": [], "lora_rank": 0, "lora_alpha": None, "seed": 0,
    }  # fmt: skip


def test_the_plan_counts_what_the_paper_trained_and_takes_its_word_for_the_time():
    plan = plan_study(PAPER, list(RUNS.values()), None, count_captions(PAPER))
    by_name = {planned.run.name: planned for planned in plan}
    assert by_name["object-hn3-seed0"].captions == 305_056
    assert by_name["object-hn3-seed0"].steps == 3 * (305_056 // 64)
    # 30 checkpoints on ranking and retrieval, Table 1 after three epochs, and four data sets of Table 2 at the end.
    assert by_name["object-hn3-seed0"].scorings == 30 * 2 + 3 + 4
    assert by_name["location-control-seed0"].scorings == 30 * 2 + 3
    assert by_name["object-control-seed0"].seconds == pytest.approx(7200, rel=0.01)
    assert by_name["orig"].parts == by_name["orig"].scorings == len(PAPER.tasks())


def test_the_plan_of_a_study_with_a_mix_has_the_steps_that_its_captions_last_for():
    mixed = PAPER.training.model_copy(update={"recipe": {**PAPER.training.recipe, "mix": {"general": 0.25}}})
    runs = [RUNS["object-control-seed0"]]
    (plain,), (plan,) = (
        plan_study(study, runs, None, count_captions(PAPER))
        for study in (PAPER, PAPER.model_copy(update={"training": mixed}))
    )
    assert plan.steps == 3 * (305_056 // 48)
    assert plan.seconds == pytest.approx(plain.seconds * 64 / 48, rel=1e-3)  # an incomplete batch is dropped


def test_captions_are_counted_where_the_study_does_not_say():
    scenes = load_study("scenes")
    silent = scenes.model_copy(update={"training": scenes.training.model_copy(update={"captions": {}, "limit": None})})
    assert count_captions(silent) == scenes.training.captions
    assert count_captions(silent.trained_on("coco")) == {}  # on the hub: looking would download it
    plan = plan_study(silent, runs_of(silent)[:2], None, {})
    assert (plan[1].captions, plan[1].steps, plan[1].scorings, plan[1].seconds) == (None, None, None, None)


PHOTOGRAPHS = load_study("photographs")


def test_kinds_of_models_beside_the_papers():
    names = [run.name for run in runs_of(PHOTOGRAPHS) if run.seed == 2 and run.concept == "location"]
    assert names == [
        "location-control-seed2",
        "location-hn1-seed2",
        *(f"location-{method}-seed2" for method in PHOTOGRAPHS.training.methods),
        "location-hn1-alpha0.5-seed2",
    ]
    plain = PHOTOGRAPHS.without_methods()
    counts = dict.fromkeys(plain.training.concepts, 0)
    for run in runs_of(plain):
        if run.concept and not run.is_interpolated:
            counts[run.concept] += 1
    assert counts == {"object": 12, "color": 12, "location": 6, "size": 6}  # three seeds


def test_a_method_changes_the_recipe_of_one_hard_negative():
    runs = {run.name: run for run in runs_of(PHOTOGRAPHS)}
    one, matched = (recipe_of(PHOTOGRAPHS, runs[f"color-{kind}-seed1"]) for kind in ("hn1", "matched"))
    assert (one.replacement_sampling, matched.replacement_sampling) == ("uniform", "matched")
    assert replace(matched, replacement_sampling="uniform") == one
    assert (one.negatives, one.seed) == (1, 1)


def test_an_interpolated_model_is_made_of_a_training_and_scored_where_differences_are_shown():
    runs = {run.name: run for run in runs_of(PHOTOGRAPHS)}
    between = runs["size-hn1-alpha0.5-seed1"]
    assert between.finetuned == runs["size-hn1-seed1"]
    assert runs["size-hn1-seed1"].finetuned == runs["size-hn1-seed1"]
    assert not is_trained(PHOTOGRAPHS, between)
    assert tasks_at(PHOTOGRAPHS, between, 3) == ["flickr8k_size", "flickr8k_retrieval_first", "coco_size"]
    assert set(tasks_at(PHOTOGRAPHS, between.finetuned, 3)) == {
        "flickr8k_size", "flickr8k_retrieval_first", "flickr8k_retrieval", "coco_size",
    }  # fmt: skip
    assert tasks_at(PHOTOGRAPHS, between.finetuned, 1) == []  # a figure of the last checkpoints alone


def test_a_base_model_that_is_trained_is_part_of_the_plan():
    orig = runs_of(PHOTOGRAPHS)[0]
    assert is_trained(PHOTOGRAPHS, orig)
    assert not is_trained(PAPER, RUNS["orig"])
    planned, control = plan_study(PHOTOGRAPHS, runs_of(PHOTOGRAPHS)[:2], None, {"object": 5620, "color": 5684})
    assert (planned.captions, planned.steps, planned.parts) == (17_500, 400, 1 + planned.scorings)
    assert planned.scorings == len(PHOTOGRAPHS.tasks())
    assert control.parts == 1 + control.scorings
    with pytest.raises(ConfigError, match="study paper: openai/clip-vit-base-patch32 is not trained"):
        recipe_of(PAPER, RUNS["orig"])
