import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from clipbench.errors import ConfigError, UnknownName
from clipbench.task_types import Task
from clipbench.task_types.registry import find_task, group_members, known_tasks, select_tasks, tag_members
from tests.toy import write_toy

PLUGIN = """
from clipbench.task_types import RankingTask
from clipbench.data import Dataset

class Base(RankingTask):
    dataset = Dataset("mine", None, path="nowhere.csv")

class Mine(Base):
    name = "my_color"
    concept = "color"
    groups = ("mine_all",)
"""


def names(selection, include_path=()):
    return [task.name for task in select_tasks(selection, include_path)]


def test_names_groups_tags_and_globs_each_task_once():
    assert names("coco_size, coco_color") == ["coco_size", "coco_color"]
    assert names("coco") == ["coco_color", "coco_location", "coco_object", "coco_size"]
    assert names("*_color,coco_color")[:2] == ["coco_color", "fashion200k_color"]
    assert {"coco_location", "flickr30k_location", "oldbooks_location", "sbu_location"} <= set(names("location"))
    assert names(["inpaintcoco", "inpaintcoco_size"]) == [
        "inpaintcoco_color", "inpaintcoco_object", "inpaintcoco_size",
    ]  # fmt: skip


def test_the_groups_of_the_paper():
    sizes = {group: len(tasks) for group, tasks in group_members(known_tasks()).items()}
    wanted = {"inpaintcoco": 3, "coco": 4, "flickr30k": 4, "sbu": 4, "fashion200k": 2, "oldbooks": 3}
    assert wanted.items() <= sizes.items()
    tags = {tag: len(tasks) for tag, tasks in tag_members(known_tasks()).items()}
    wanted = {"paper": 22, "scenes": 8, "ranking": 18 + 4 + 8, "retrieval": 4 + 1 + 4}
    wanted |= {"object": 10, "color": 10, "location": 7, "size": 9}
    assert wanted.items() <= tags.items()


def test_tasks_of_a_group_share_their_metric():
    """Or the group could have no mean."""
    for names in group_members(known_tasks()).values():
        assert len({task.primary_metric for task in select_tasks(names)}) == 1


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("coco_colour", "coco_color"), ("papre", "paper"), ("colour", "color"), ("coco_*_x", ""), ("nonsense", "")],
)
def test_what_nothing_answers_to(asked, hint):
    with pytest.raises(UnknownName, match=f"unknown task or group '{asked}'".replace("*", r"\*")) as caught:
        select_tasks(asked)
    assert hint in str(caught.value)


def test_no_task_at_all():
    with pytest.raises(ConfigError, match="no task was named"):
        select_tasks(" , ")


def test_a_yaml_file_and_a_folder_of_them_are_tasks(tmp_path):
    file = write_toy(tmp_path)
    (task,) = select_tasks(str(file))
    assert isinstance(task, Task)
    assert (task.name, task.concept, task.task_type) == ("toy_color", "color", "ranking")
    assert names(str(tmp_path)) == ["toy_color"]
    assert names("toy_color", [tmp_path]) == ["toy_color"]


def test_a_yaml_task_with_its_own_concept_beside_it(tmp_path):
    (tmp_path / "animals.yml").write_text("name: animals\nmutual: [dog, cat]\n")
    file = write_toy(tmp_path, name="toy_animals", concept="animals.yml")
    for (task,) in (select_tasks(str(file)), select_tasks(str(tmp_path)), select_tasks("toy_animals", [tmp_path])):
        assert task.active_concept.variants("a dog")[1] == "a cat"


def test_the_same_file_twice_is_one_task(tmp_path, monkeypatch):
    file = write_toy(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert names(f"{file},{file.name},./{file.name}") == ["toy_color"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_type": "rankin"}, r"toy_color.yaml:\d+: task_type"),
        ({"concept": None}, "a ranking task needs a concept"),
        ({"dataset": {"path": "a", "hub": "b"}}, "give either path or hub"),
        ({"expected": 3}, r"toy_color.yaml:\d+: expected"),
        ({"name": "a b"}, "name: must be of the form"),
    ],
)
def test_a_broken_task_file_names_file_and_line(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        select_tasks(str(write_toy(tmp_path, **change)))


def test_an_unknown_concept_in_a_task_file(tmp_path):
    with pytest.raises(UnknownName, match="'colors'.*did you mean color"):
        select_tasks(str(write_toy(tmp_path, concept="colors")))


def test_a_plugin_file_adds_tasks_and_groups(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert names("mine_all", [tmp_path]) == names("my_color", [tmp_path / "mine.py"]) == ["my_color"]
    with pytest.raises(UnknownName):
        select_tasks("my_color")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nraise RuntimeError('no')\n", r"bad.py:2: RuntimeError: no"),
        ("def f(:\n", r"bad.py:1: SyntaxError"),
        ("import nowhere_at_all\n", r"bad.py:1: ModuleNotFoundError"),
        (
            "from clipbench.task_types import RankingTask\n"
            "class T(RankingTask):\n    name = 'x'\n    concept = 'color'\n",
            "task 'x' declares no dataset",
        ),
        (PLUGIN.replace('"my_color"', '"coco_color"'), "two tasks are named 'coco_color'"),
        (PLUGIN.replace('"mine_all"', '"coco_size"'), "'coco_size' names two of"),
    ],
)
def test_a_broken_plugin_names_file_and_line(tmp_path, text, message):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        select_tasks("coco", [tmp_path])


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("dataset", "None", "dataset is None: give a Dataset"),
        ("dataset", "'coco.csv'", "dataset is 'coco.csv': give a Dataset"),
        ("dataset", "Dataset('mine', 'hub')", "give a Dataset"),
        ("name", "''", "task '': name is '': give up to 100 letters"),
        ("name", "None", "task None: name is None: give"),
        ("name", "'../x'", "name is '../x': give up to 100 letters"),
        ("name", "'x' * 300", "name is 'xxx.*: give up to 100 letters"),
        ("concept", "None", "concept is None: give the name"),
        ("version", "'1'", "version is '1': give a whole number"),
        ("version", "True", "version is True: give a whole number"),
        ("expected_n", "-5", "expected_n is -5: give None, or a whole number"),
        ("groups", "'mine'", "groups is 'mine': give a tuple of names"),
        ("tags", "(1,)", "tags is .1,.: give a tuple of names"),
        ("where", "[1]", r"where is \[1\]: give a mapping"),
        ("metrics", "()", "metrics is .*: give a tuple of names"),
        ("primary_metric", "'f1'", "primary_metric is 'f1': give one of its metrics"),
        ("chance", "7", "chance is 7: give None, or a share"),
        ("hub_task", "'x'", "hub_task is 'x': give a pair of texts"),
        ("skip_keywords", "None", "skip_keywords is None: give a tuple of words"),
        ("note", "3", "note is 3: give text"),
        ("group_field", "3", "group_field is 3: give the name of a field"),
        ("language", "7", "language is 7: give an ISO 639-1 code"),
        ("class_names", "7", "class_names is 7: give a tuple of names"),
        ("templates", "(1,)", "templates is .1,.: give a tuple of prompts"),
        ("cutoffs", "(0,)", "cutoffs is .0,.: give a tuple of ranks"),
        ("text_template", "'a photo'", "text_template is 'a photo': give text with {} where"),
        ("__init__", "lambda self: 1 / 0", "task 'my_color' cannot be made: ZeroDivisionError: division by zero"),
        ("task_type", "[]", r"bad.py:8: TypeError"),
    ],
)
def test_a_misdeclared_attribute_of_a_plugin_is_named(tmp_path, attribute, value, message):
    plugin = PLUGIN if attribute != "name" else PLUGIN.replace('    name = "my_color"\n', "")
    (tmp_path / "bad.py").write_text(f"{plugin}    {attribute} = {value}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        select_tasks("coco", [tmp_path])
    assert str(caught.value).startswith(str(tmp_path / "bad.py"))
    assert "\n" not in str(caught.value)


def test_a_plugin_that_lacks_a_method_is_not_skipped(tmp_path):
    text = "from clipbench.task_types.base import SampleTask\nclass T(SampleTask):\n    name = 'x'\n"
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match="bad.py: task 'x' has no method invalid_reason, samples, score_sample"):
        select_tasks("coco", [tmp_path])


@pytest.mark.parametrize("name", ["scenes_location", "coco"])
def test_a_task_file_may_not_take_a_known_name(tmp_path, name):
    """Its one sample would rank above the real task's thousand."""
    file = write_toy(tmp_path, name=name)
    for asked in (str(file), str(tmp_path), f"scenes_location,{file}"):
        with pytest.raises(ConfigError, match=f"named '{name}' already: rename this task"):
            select_tasks(asked)
    with pytest.raises(ConfigError, match=f"'{name}'.*rename"):
        select_tasks("coco_color", [file])


def test_a_class_may_not_take_a_known_name(tmp_path):
    (known,) = select_tasks("scenes_location")
    assert names([type(known)]) == names([known]) == ["scenes_location"]
    with pytest.raises(ConfigError, match="named 'scenes_location' already"):
        select_tasks([type("Mine", (type(known),), {"expected_n": 1})])


@pytest.mark.parametrize("count", [-5, 0, "true", 1.5])
def test_an_impossible_number_of_samples_is_refused(tmp_path, count):
    with pytest.raises(ConfigError, match="expected_n: must be"):
        select_tasks(str(write_toy(tmp_path, expected_n=count)))


def test_a_plugin_named_by_a_relative_path_is_named_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("x = 1\ny = 2\nx / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"bad.py:3: ZeroDivisionError"):
        select_tasks("coco", ["bad.py"])


def test_plugins_of_one_stem_in_two_folders(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(PLUGIN.replace("my_color", f"{folder}_color"))
    files = [tmp_path / "one/mine.py", tmp_path / "two/mine.py"]
    assert names("one_color,two_color", files) == ["one_color", "two_color"]
    first, second = select_tasks("one_color,two_color", files)
    assert type(first).__module__ != type(second).__module__


def test_include_path_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        select_tasks("coco", [tmp_path / "nowhere"])


def test_an_entry_point_adds_tasks(tmp_path, monkeypatch):
    (tmp_path / "their_tasks.py").write_text(PLUGIN.replace("my_color", "their_color"))
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clipbench.tasks]\ntheirs = their_tasks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    # A path of its own as key: what is known is remembered for each include_path.
    (tmp_path / "empty").mkdir()
    assert names("their_color", [tmp_path / "empty"]) == ["their_color"]


def test_tasks_given_as_classes(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(PLUGIN))
    (task,) = select_tasks("my_color", [tmp_path])
    assert names([type(task), "coco_color"]) == ["my_color", "coco_color"]
    assert names([type(task), type(task)]) == ["my_color"]
    with pytest.raises(ConfigError, match="two different tasks"):
        select_tasks([type(task), type(task)()])


def test_a_checkout_finds_its_tasks_without_being_installed():
    """Python started in a checkout sees clipbench/ there, and tasks/ beside it."""
    root = Path(__file__).parents[2]
    script = "import clipbench; print(clipbench.__file__, len(clipbench.load_tasks('paper')))"
    libraries = os.pathsep.join(path for path in sys.path if "site-packages" in path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],  # -S: no finder of an editable install
        capture_output=True, text=True, check=False, cwd=root, env={"PYTHONPATH": libraries},
    )  # fmt: skip
    assert done.stdout.split() == [str(root / "clipbench/__init__.py"), "22"], done.stderr


def test_two_data_sets_of_one_name_do_not_take_each_others_place(tmp_path):
    """One task would be scored on the other's rows."""
    from clipbench.evaluation.options import EvaluationOptions
    from clipbench.evaluation.preparation import DataSources

    (tmp_path / "mine.py").write_text(PLUGIN.replace('Dataset("mine"', 'Dataset("coco"'))
    with pytest.raises(ConfigError, match="another data set named 'coco'"):
        DataSources(select_tasks("coco_color,my_color", [tmp_path]), EvaluationOptions())


def test_no_two_tasks_have_the_same_title():
    titles = [task.title for task in known_tasks()]
    assert len(set(titles)) == len(titles)
    assert find_task("inpaintcoco_color").title == "InpaintCOCO · color"
    assert find_task("coco_retrieval_first").title == "COCO · retrieval first"
    assert find_task("vl_checklist_attribute_color").title == "VL-CheckList · attribute color"
