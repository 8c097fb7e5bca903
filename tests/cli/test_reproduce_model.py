"""A study with another base model."""

import pytest

from clipbench.cli.reproduce import _starting_from
from clipbench.errors import ConfigError, UnknownName
from clipbench.reproduce.study import load_study


def test_another_base_model_is_not_compared_with_published_figures():
    study = load_study("paper")
    other = _starting_from(study, ("demo", "hf:org/model"))
    assert (other.base_models, other.comparable, other.speed) == (["demo", "hf:org/model"], False, None)
    assert (other.training, other.tables, other.published_by) == (study.training, study.tables, study.published_by)
    assert _starting_from(study, tuple(study.base_models)) is study
    with pytest.raises(UnknownName, match="unknown model 'nonsense'"):
        _starting_from(study, ("nonsense",))
    with pytest.raises(ConfigError, match="--model: given twice"):
        _starting_from(study, ("demo", "demo"))


def test_the_plan_is_that_of_the_model(run):
    code, out, err = run("reproduce", "scenes", "--dry_run", "--quick", "--model", "hf:org/model")
    assert (code, "no time estimate available" in err, out.splitlines()[2].split()[0]) == (0, True, "orig")
