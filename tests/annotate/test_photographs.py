import json

import numpy as np
import pytest
from PIL import Image

from clipbench.annotate.opening import open_set
from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.photographs import allows_adaptation, find_photographs, open_data, original
from clipbench.annotate.session import Session
from clipbench.annotate.suggestions import paintable
from clipbench.concepts import load_concept
from clipbench.data.records import file_ref
from clipbench.errors import ConfigError, DataError
from tests.annotate.builders import FREE, NO_DERIVATIVES, write_photographs


@pytest.fixture
def coco(tmp_path):
    photographs = [
        (["A white cat.", "A cat.", "The black sofa."], FREE),
        (["A red bus."], NO_DERIVATIVES),
        (["A red bus."], 99),
        (["A dog."], FREE),
        (["A blue boat."], FREE),
    ]
    folder = write_photographs(tmp_path / "coco", photographs)
    (folder / "val2017" / f"{5:012d}.jpg").unlink()
    return folder


def options(data, tmp_path, concept="color", **more):
    return AnnotateOptions(data, concept, tmp_path / "set", **more)


def look(data, tmp_path, concept="color", **more):
    given = options(data, tmp_path, concept, **more)
    return find_photographs(open_data(given), paintable(load_concept(concept)), given.image_license)


def test_only_photographs_with_a_keyword_and_a_license_that_allows_adaptation(coco, tmp_path):
    there = look({"coco": str(coco)}, tmp_path)
    assert [one.id for one in there.photographs] == ["1"]
    assert there.photographs[0].captions == ("A white cat.", "The black sofa.")
    assert there.left_out == {
        "have no license that allows adaptation": 2,
        "have no keyword of color in a caption": 1,
        "have no image file": 1,
    }
    assert there.notes == (
        "1 photograph to annotate, of 5: 2 have no license that allows adaptation; 1 have no keyword of color in a"
        " caption; 1 have no image file",
    )


def test_none_at_all_says_how_many_and_why(coco, tmp_path):
    with pytest.raises(DataError, match=r"concept size: of 5 photographs: 5 have no keyword of size in a caption"):
        look({"coco": str(coco)}, tmp_path, "size")
    write_photographs(tmp_path / "nd", [(["A red bus."], NO_DERIVATIVES)] * 3)
    with pytest.raises(DataError, match="of 3 photographs: 3 have no license that allows adaptation"):
        look({"coco": str(tmp_path / "nd")}, tmp_path)


@pytest.mark.parametrize(
    ("name", "url", "allowed"),
    [
        ("Attribution-NonCommercial-ShareAlike License", "http://creativecommons.org/licenses/by-nc-sa/2.0/", True),
        ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/", True),
        ("Attribution-NonCommercial-NoDerivs License", "http://creativecommons.org/licenses/by-nc-nd/2.0/", False),
        ("Attribution License", "http://creativecommons.org/licenses/by/2.0/", True),
        ("Attribution-ShareAlike License", "http://creativecommons.org/licenses/by-sa/2.0/", True),
        ("Attribution-NoDerivs License", "http://creativecommons.org/licenses/by-nd/2.0/", False),
        ("No known copyright restrictions", "http://flickr.com/commons/usage/", True),
        ("United States Government Work", "http://www.usa.gov/copyright.shtml", True),
        ("", "http://creativecommons.org/licenses/by-nc-nd/2.0/", False),
        ("CC BY-ND 4.0", "", False),
        ("All Rights Reserved", "", False),
        ("", "", False),
    ],
)
def test_the_eight_licenses_of_coco_and_others(name, url, allowed):
    assert allows_adaptation(name, url) is allowed


def test_data_of_ones_own_that_states_no_license(tmp_path):
    (tmp_path / "shop").mkdir()
    Image.new("RGB", (8, 8), "white").save(tmp_path / "shop" / "a.png")
    (tmp_path / "shop" / "table.csv").write_text("file_name,caption\na.png,a white shirt\n")
    data = {"shop": str(tmp_path / "shop" / "table.csv")}
    there = look(data, tmp_path)
    assert there.photographs[0].license == ""
    assert "states no license for 1 photograph" in there.notes[0]
    stated = look(data, tmp_path, image_license="ours")
    assert (stated.photographs[0].license, stated.notes) == ("ours", ())


def test_a_coco_file_without_licenses_states_none(coco, tmp_path):
    path = coco / "annotations" / "captions_val2017.json"
    content = json.loads(path.read_text())
    del content["licenses"]
    path.write_text(json.dumps(content))
    assert [one.license for one in look({"coco": str(coco)}, tmp_path).photographs] == ["", "", ""]


def test_scenes(tmp_path):
    there = look({"scenes": "40"}, tmp_path, "size")
    assert there.rows == 40
    assert all(one.license for one in there.photographs)


def test_the_order_is_random_and_only_the_seed_decides(tmp_path):
    def order(seed, place):
        given = AnnotateOptions({"scenes": "30"}, "color", tmp_path / place, seed=seed)
        with open_set(given) as store:
            session = Session(store, "Anna")
            ids = []
            while pair := session.next():
                ids.append(pair.photograph.id)
                session.skip(pair.id)
        return ids

    first = order(0, "a")
    assert first != sorted(first, key=lambda name: int(name.rpartition("-")[2]))
    assert order(0, "b") == first
    assert order(1, "c") != first


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": {}}, "give one data set"),
        ({"data": {"coco": "a", "scenes": "3"}}, "give one data set"),
        ({"data": {"scenes": "many"}}, "scenes=many"),
        ({"data": {"scenes": "0"}}, "scenes=0"),
        ({"data": {"scenes": "²"}}, "scenes="),
        ({"candidates": 0}, "candidates"),
        ({"candidates": 17}, "candidates"),
        ({"annotators_per_photograph": 0}, "annotators_per_photograph"),
        ({"seed": -1}, "seed"),
        ({"inpaint_steps": 0}, "inpaint_steps"),
    ],
)
def test_options_that_cannot_be(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        AnnotateOptions(**{"data": {"scenes": "4"}, "concept": "color", "output_path": tmp_path / "set", **given})


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "set").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        options({"scenes": "4"}, tmp_path)


class TestOriginal:
    """The file as it is, if every program shows it as we do; else PNG without loss."""

    def kept(self, path):
        content, suffix = original(file_ref(path, path.name, missing=False))
        return content == path.read_bytes(), suffix

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    @pytest.mark.parametrize("suffix", ["jpg", "png"])
    def test_plain_files_are_kept(self, tmp_path, mode, suffix):
        Image.new(mode, (5, 4)).save(tmp_path / f"a.{suffix}")
        assert self.kept(tmp_path / f"a.{suffix}") == (True, suffix)

    def test_what_programs_show_differently_becomes_png(self, tmp_path):
        rotated = Image.Exif()
        rotated[274] = 6
        Image.effect_noise((6, 4), 50).convert("RGB").save(tmp_path / "rotated.jpg", exif=rotated)
        Image.new("RGBA", (5, 4), (255, 0, 0, 50)).save(tmp_path / "transparent.png")
        Image.new("CMYK", (5, 4)).save(tmp_path / "print.jpg")
        Image.new("P", (5, 4)).save(tmp_path / "palette.png")
        Image.new("RGB", (5, 4)).save(tmp_path / "a.webp")
        for name in ("rotated.jpg", "transparent.png", "print.jpg", "palette.png", "a.webp"):
            ref = file_ref(tmp_path / name, name, missing=False)
            content, suffix = original(ref)
            assert suffix == "png", name
            (tmp_path / "shown.png").write_bytes(content)
            shown = Image.open(tmp_path / "shown.png")
            assert shown.mode == "RGB"
            assert np.array_equal(np.asarray(shown), np.asarray(ref.open()))


def test_real_photographs(coco_folder, tmp_path):
    """Counted independently, from the official file."""
    content = json.loads((coco_folder / "annotations" / "captions_val2017.json").read_text())
    no_derivatives = {one["id"] for one in content["licenses"] if "NoDerivs" in one["name"]}
    color = load_concept("color")
    holding = {one["image_id"] for one in content["annotations"] if color.matches(one["caption"])}
    expected = {
        str(one["id"])
        for one in content["images"]
        if one["id"] in holding
        and one["license"] not in no_derivatives
        and (coco_folder / "val2017" / one["file_name"]).exists()
    }
    there = look({"coco": str(coco_folder)}, tmp_path)
    assert {one.id for one in there.photographs} == expected
    assert len(expected) > 20
    first = there.photographs[0]
    assert first.details["coco_url"].startswith("http://images.cocodataset.org/val2017/")
    assert first.details["image_license"].endswith(("License", "restrictions", "Work"))
