from pathlib import Path

from clipbench.utils.digest import digest


def test_digests_differ_by_content_alone():
    identity = {"name": "é", "sizes": (1, 2.5), "path": Path("a"), "nested": {"b": None, "a": True}}
    same = {"nested": {"a": True, "b": None}, "path": "a", "sizes": [1, 2.5], "name": "é"}
    assert digest(identity) == digest(same)
    assert len(digest(identity)) == 64
    others = [{**same, "sizes": [2.5, 1]}, {**same, "name": "e"}, {**same, "nested": {"a": 1, "b": None}}, [same]]
    assert len({digest(other) for other in (same, *others)}) == 5


def test_known_value():
    # printf '{"a": 1}' | sha256sum
    assert digest({"a": 1}) == "f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310"


def test_lone_surrogates_have_a_digest():
    assert digest("\ud800") != digest("\ud801")
