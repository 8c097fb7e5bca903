import pytest

from clipbench.errors import ConfigError, UnknownName
from clipbench.evaluation.options import ignore_progress
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.lookup import Cells
from clipbench.reproduce.options import StudyOptions
from clipbench.reproduce.scoring import plan_scores
from clipbench.reproduce.study import load_study, shipped_studies
from clipbench.reproduce.tables import grids_of
from clipbench.reproduce.training_schema import most_negatives
from clipbench.task_types.registry import known_tasks

SMALL = """
name: small
title: A small study
base_models: [demo]
training:
  data: scenes=200
  concepts: [color]
  negatives: [0, 1]
  recipe: {epochs: 2, batch_size: 32, learning_rate: 1.0e-3}
tables:
  - {id: seven, layout: retrieval, title: Seven, tasks: {color: scenes_color}, retrieval: scenes_retrieval}
"""
GAINS = """
tables:
  - {id: gains, layout: gains, title: G, against: Clas., tasks: {color: scenes_color}, metrics: {acc: accuracy}}
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", shipped_studies())
def test_a_shipped_study_names_tasks_that_there_are(name):
    study = load_study(name)
    assert set(study.tasks()) <= {task.name for task in known_tasks(())}


def test_the_papers_study_is_the_papers():
    training = load_study("paper").training
    recipe = training.recipe_of("color", 1, 0)
    assert load_study("paper").base_models == ["openai/clip-vit-base-patch32"]
    assert (recipe.batch_size, recipe.epochs, recipe.learning_rate, recipe.weight_decay) == (64, 3, 5e-6, 0.1)
    assert (recipe.checkpoint_every, recipe.negatives_in, recipe.loss) == (0.1, "both", "inbatch_replacement")
    # The eight sizes that the caption files give: the numbers of captions with a keyword in COCO train2017.
    assert training.captions == {"object": 305_056, "color": 92_006, "location": 58_156, "size": 60_626}


def test_every_cell_of_the_papers_tables_has_a_published_figure(tmp_path):
    study = load_study("paper")
    kinds = {concept: 2 + min(3, most_negatives(concept)) for concept in study.training.concepts}
    for grid, per_row in zip(grids_of(Cells(study, StudyFolder(tmp_path))), (0, 1, 2), strict=True):
        for titles, row in grid.rows:
            concept = titles[1] if grid.id == "table2" else titles[0]
            shown = [cell for cell in row if cell is not None]
            assert len(shown) == {"table1": 1 + 3 * (kinds[concept] - 1)}.get(grid.id, per_row * kinds[concept])
            assert all(cell.published is not None for cell in shown)


def test_the_quick_version_leaves_out_what_it_does_not_train():
    quick = load_study("scenes").quickly()
    assert quick.name == "scenes-quick"
    assert quick.training.concepts == ["location", "size"]
    assert quick.training.recipe["learning_rate"] == load_study("scenes").training.recipe["learning_rate"]
    assert set(quick.tasks()) == {"scenes_location", "scenes_size", "scenes_inpaint_size", "scenes_retrieval"}


def test_tables_without_a_trained_concept_are_left_out_of_the_quick_version(written):
    table = "  - {id: one, layout: epochs, title: One, tasks: {size: scenes_inpaint_size}}\n"
    text = SMALL.replace("[color]", "[color, size]") + table
    size = load_study(written(text + "quick: {training: {concepts: [size]}}\n")).quickly()
    assert [table.id for table in size.tables] == ["one"]
    both = load_study(written(text + "quick: {training: {seeds: [7]}}\n")).quickly()
    assert [table.id for table in both.tables] == ["seven", "one"]


def test_a_study_without_a_quick_version_says_so():
    with pytest.raises(ConfigError, match="study paper has no quick version"):
        load_study("paper").quickly()


def test_a_study_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(UnknownName, match="'papers'.*did you mean paper.*paper, photographs.*scenes"):
        load_study("papers")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("learning_rate", "learning_rat", r"small.yaml:5: training: recipe: learning_rat \(did you mean learning_rate"),
        ("epochs: 2", "epochs: 0", r"small.yaml:5: training: recipe: epochs 0: give 1 or more"),
        ("epochs: 2", "max_steps: 9", r"recipe: max_steps"),
        ("{color: scenes_color}", "{shape: scenes_color}", r"shape is not among training's concepts \(color\)"),
        ("layout: retrieval", "layout: pie", r"layout"),
        ("negatives: [0, 1]", "negatives: []", r"small.yaml:8: training.negatives"),
        ("base_models: [demo]", "base_model: demo", r"base_models: this key is missing"),
        ("base_models: [demo]", "base_models: [demo, demo]", r"base_models: given twice"),
        ("negatives: [0, 1]", "negatives: [0, 1]\n  seeds: [0, 0]", r"seeds: given twice \(0, 0\)"),
        ("[color]", "[color, mine/color.yaml]", r"concepts: given twice \(color, color\)"),
        ("epochs: 2", "epochs: 2.5", r"epochs 2.5: give a whole number"),
        ("epochs: 2", "epochs: 2, checkpoint_every: 0.3", r"checkpoint_every 0.3: give 1, 0.5, 0.1"),
        ("retrieval: scenes_retrieval", "retrieval: scenes_retrieval, published: {}", r"published"),
        ("concepts: [color]", "concepts: [colour]", r"colour"),
        ("recipe: {", "methods: {HN1: {seed: 3}}\n  recipe: {", r"methods: 'HN1': give a name"),
        ("recipe: {", "methods: {mine: {los: x}}\n  recipe: {", r"methods: mine: recipe: los \(did you mean loss"),
        ("recipe: {", "methods: {mine: {loss: sigmod}}\n  recipe: {", r"methods: mine: loss 'sigmod'"),
        ("recipe: {", "methods: {mine: {epochs: 1}}\n  recipe: {", r"methods: mine: recipe: epochs"),
        ("training:", "base_training: {data: scenes, recipe: {concepts: [color]}}\ntraining:", r"recipe: concepts"),
        ("[demo]", "[demo, other]\nbase_training: {data: scenes}", r"one base model is trained"),
        ("tables:", "limits: {scenes_size: 3}\ntables:", r"limits: scenes_size: no task of a table"),
        ("tables:", "alphas: [1.0]\ntables:", r"alphas"),
        (
            "tables:",
            "contact_sheets: {tasks: {color: scenes_color}}\ntables:",
            r"contact_sheets: scenes_color: no task",
        ),
        ("tables:", GAINS.replace("Clas.", "HN2"), r"table gains: no kind of model is called HN2.*Orig., Clas., HN1"),
    ],
)
def test_a_mistake_is_named_with_its_place(written, old, new, complaint):
    with pytest.raises((ConfigError, UnknownName), match=complaint):
        load_study(written(SMALL.replace(old, new)))


def test_a_concept_and_tasks_of_ones_own_lie_beside_the_study(written, tmp_path):
    (tmp_path / "shape.yaml").write_text("name: shape\nmutual: [round, square]\n")
    text = SMALL.replace("[color]", "[shape.yaml]").replace("{color:", "{shape:") + "include_path: [tasks]\n"
    study = load_study(written(text))
    assert study.training.concepts == [str(tmp_path / "shape.yaml")]
    assert study.trained_on("scenes=9").training.data == "scenes=9"
    assert study.include_path == [str(tmp_path / "tasks")]


def test_places_of_mixed_data_concern_training_too():
    scenes = load_study("scenes")
    training = scenes.training.model_copy(update={"recipe": {**scenes.training.recipe, "mix": {"coco": 0.25}}})
    data = {"scenes": "a", "coco": "b", "flickr30k": "c"}
    assert scenes.training.places(data) == {"scenes": "a"}
    assert training.places(data) == {"scenes": "a", "coco": "b"}
    assert training.recipe_of("color", 0, 0).mix == {"coco": 0.25}


def test_the_quick_version_merges_what_differs_in_the_base_models_training():
    whole, quick = load_study("photographs"), load_study("photographs").quickly()
    assert quick.base_training.recipe == {**whole.base_training.recipe, **whole.quick["base_training"]["recipe"]}
    assert quick.base_training.as_recipe().max_steps < whole.base_training.as_recipe().max_steps
    assert quick.contact_sheets.tasks.keys() == {"color", "location"}


def test_a_task_may_have_a_limit_of_its_own(written):
    study = load_study(written(SMALL + "limit: 50\nlimits: {scenes_color: 7}\n"))
    plans = plan_scores(study, StudyOptions(), ignore_progress)
    assert {plan.task.name: plan.report.limit for plan in plans} == {"scenes_color": 7, "scenes_retrieval": 50}


def test_models_can_lie_elsewhere():
    study = load_study("photographs").loaded_with({"text": "folder"})
    assert study.model_args["text"] == "folder"
    assert study.model_args["vision"] == load_study("photographs").model_args["vision"]


def test_the_rate_and_epochs_of_the_photographs_study_are_among_those_that_were_tried():
    """And all else is equal, so that what was chosen on the dev split holds for it."""
    tried, chosen = load_study("photographs_dev").training, load_study("photographs").training
    rates = {tried.recipe["learning_rate"], *(changes["learning_rate"] for changes in tried.methods.values())}
    assert chosen.recipe["learning_rate"] in rates
    rest = [{**training.recipe, "learning_rate": 0} for training in (tried, chosen)]
    assert rest[0] == rest[1]
    assert tried.limit == chosen.limit
    assert load_study("photographs_dev").base_training == load_study("photographs").base_training
