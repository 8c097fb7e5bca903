from pathlib import Path

import pytest

import clipbench.concepts
from clipbench.concepts import concept_names, load_concept
from clipbench.errors import ConfigError, UnknownName


def test_table_3_of_the_paper():
    assert concept_names() == ["color", "location", "object", "size"]
    objects = load_concept("object").replacements
    assert len(objects) == 77  # 80 names, three of which are never looked for
    assert all(len(others) == 79 and word not in others for word, others in objects.items())
    assert {"potted plant", "dining table", "tv monitor"} == set(objects["person"]) - set(objects) - {"person"}
    colors = load_concept("color").replacements
    assert len(colors) == 9
    assert all(len(others) == 8 for others in colors.values())
    sizes = load_concept("size").replacements
    assert len(sizes) == 12
    assert sizes["long"] == ("short",)
    assert (sizes["short"], sizes["giant"], sizes["tiny"]) == (("tall",), ("tiny",), ("huge",))
    places = load_concept("location").replacements
    assert len(places) == 12
    assert all(places[others[0]] == (word,) for word, others in places.items())


def test_a_keyword_that_is_no_source_stays_a_replacement():
    concept = load_concept("size").without_keywords(["tiny"])
    assert not concept.matches("a tiny cat")
    assert concept.variants("a huge cat")[1] == "a tiny cat"


def test_a_concept_of_ones_own(tmp_path):
    file = tmp_path / "material.yaml"
    file.write_text("name: material\nmutual: [wooden, metal]\nreplacements:\n  glass: [wooden, paper]\n")
    concept = load_concept(str(file))
    assert concept.name == "material"
    assert list(concept.variants("a glass door")) == ["a glass door", "a wooden door", "a paper door"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nreplacements:\n  a: [a]\n", "x.yaml:1: 'a' is replaced by itself"),
        ("name: x\nreplacements:\n  a: b\n", "x.yaml:3: replacements.a"),
        ("name: x\n", "no keyword to look for"),
        ("name: x\ninterchangable: [a, b]\n", "x.yaml:2: interchangable"),
        ("name: x\nmutual: [a, b\n", "x.yaml:3"),
        ("- a\n- b\n", "expected a mapping"),
        ("name: x\nmutual: [a, ' ']\n", "empty or has stray white space"),
        ("name: x\nmutual: [Dr. Who, a]\n", "'Dr. Who' can never match"),
        ("name: x\nmutual: [a]\n", "'a' has no replacement"),
    ],
)
def test_a_broken_concept_file_names_its_line(tmp_path, text, message):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_concept(str(file))


def test_an_unknown_concept_is_answered_with_its_neighbours():
    with pytest.raises(UnknownName, match=r"'colour' \(did you mean color\?\)"):
        load_concept("colour")
    with pytest.raises(ConfigError, match="no such concept file"):
        load_concept("nowhere.yaml")


@pytest.mark.parametrize("name", concept_names())
def test_a_bundled_concept_reads_the_same_as_a_users_file(name):
    """Bundled files are not checked against the schema each time; here they are."""
    file = Path(clipbench.concepts.__file__).parent / "tables" / f"{name}.yaml"
    assert load_concept(str(file)) == load_concept(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"mutual: {[f'w{n}' for n in range(20_000)]}",
            "mutual lists 20,000 keywords, each replaced by all others: 2,000",
        ),
        ("replacements:\n" + "".join(f"  w{n}: [x]\n" for n in range(10_001)), "10,001 keywords: 10,000 at most"),
    ],
)
def test_concepts_of_very_many_keywords_are_refused_at_once(tmp_path, content, message):
    """Twenty thousand mutual keywords make 400 million variants."""
    (tmp_path / "c.yaml").write_text(f"name: c\n{content}\n")
    with pytest.raises(ConfigError, match=message):
        load_concept(str(tmp_path / "c.yaml"))


def test_a_byte_order_mark_before_a_concept(tmp_path):
    (tmp_path / "c.yaml").write_text("name: c\nmutual: [cat, dog]\n", encoding="utf-8-sig")
    assert load_concept(str(tmp_path / "c.yaml")).replacements == {"cat": ("dog",), "dog": ("cat",)}
