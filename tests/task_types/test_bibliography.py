import re
from dataclasses import replace
from importlib import resources

import pytest

from clipbench.errors import ConfigError
from clipbench.task_types.bibliography import OWN, bibliography, entries_of, shipped_entries
from clipbench.task_types.registry import find_task, known_tasks
from clipbench.task_types.task_file import task_from_yaml
from tests.toy import write_toy

OURS = "@misc{ours,\n  title = {Ours},\n}"


def keys(text):
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


def test_every_task_on_data_of_others_names_what_to_cite():
    for task in known_tasks():
        assert entries_of(task) or task.dataset.generator, task.name


def test_every_entry_is_read_used_and_closed():
    text = (resources.files("clipbench.tasks") / "references.bib").read_text(encoding="utf-8")
    assert keys(text) == list(dict.fromkeys(keys(text))) == list(shipped_entries())
    used = {key for task in known_tasks() for key in entries_of(task)}
    assert used == set(shipped_entries())
    for key, entry in shipped_entries().items():
        depth = 0
        for place, sign in enumerate(entry):
            depth += (sign == "{") - (sign == "}")
            assert depth > 0 or place < entry.index("{") or place == len(entry) - 1, key
        assert depth == 0, key
        assert {"title", "author"} <= set(re.findall(r"^  (\w+) = \{", entry, re.MULTILINE)), key


def test_an_entry_comes_once_with_all_that_it_is_for():
    text = bibliography([find_task("coco_color"), find_task("coco_karpathy"), find_task("inpaintcoco_size")])
    assert keys(text) == [OWN, "lin2014microsoft", "chen2015microsoft", "karpathy2015deep"]
    assert "% coco_color, coco_karpathy\n@inproceedings{lin2014microsoft," in text
    assert text.startswith(f"% clipbench, inpaintcoco_size\n@article{{{OWN},")


def of_yaml(folder, *references):
    return task_from_yaml(write_toy(folder, references=list(references)))


def test_a_task_of_ones_own_brings_its_entry(tmp_path):
    text = bibliography([of_yaml(tmp_path, "chen2015microsoft", OURS)])
    assert keys(text) == [OWN, "chen2015microsoft", "ours"]
    assert text.endswith(f"% toy_color\n{OURS}\n")


@pytest.mark.parametrize(
    ("reference", "said"),
    [("chen2015microsft", "did you mean chen2015microsoft"), ("@misc{a, title={b}}", "a line of its own"),
     (f"{OURS}\n{OURS}", "give a key"), ("", "give a key")],
)  # fmt: skip
def test_what_is_no_entry_is_refused_with_the_task(tmp_path, reference, said):
    with pytest.raises(ConfigError, match="toy_color: reference") as caught:
        bibliography([of_yaml(tmp_path, reference)])
    assert said in str(caught.value)


def test_two_entries_of_one_key_are_refused(tmp_path):
    first = of_yaml(tmp_path, OURS)
    other = type("other", (type(first),), {"name": "other", "dataset": replace(first.dataset, references=(
        OURS.replace("Ours", "Theirs"),))})()  # fmt: skip
    assert keys(bibliography([first, first])) == [OWN, "ours"]
    with pytest.raises(ConfigError, match="other: another entry has the key ours, too: toy_color"):
        bibliography([first, other])
