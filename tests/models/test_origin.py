"""Where a checkpoint comes from, as its folder says."""

import json

import pytest

from clipbench.models.origin import base_facts

FACTS = {"base_model": "demo", "base_fingerprint": "f" * 64}


@pytest.fixture
def run(tmp_path):
    facts = {"model": {"id": "demo", "fingerprint": "f" * 64}, "recipe": {}}
    (tmp_path / "finetune.json").write_text(json.dumps(facts))
    (tmp_path / "open_clip").mkdir()
    return tmp_path


def test_the_folder_of_a_run_and_those_inside_it(run):
    assert base_facts(str(run)) == base_facts(str(run / "open_clip")) == base_facts(f"open_clip:{run}") == FACTS


@pytest.mark.parametrize("text", ["", "[]", '{"model": 3}', '{"model": {"id": "demo"}}'])
def test_other_content_says_nothing(run, text):
    (run / "finetune.json").write_text(text)
    assert base_facts(str(run)) == {}


def test_other_models_have_no_base(run, monkeypatch):
    monkeypatch.chdir(run)
    assert base_facts("openai/clip-vit-base-patch32") == base_facts("demo") == {}
