import json
import math

import pytest

from benchmarks.figures import Figure, read_figures, write_figures


def test_figures_are_written_in_the_form_that_the_runner_reads(tmp_path):
    figures = [Figure("start", 0.2, "s", target=0.4), Figure("ranking", 9.6, "×", "higher")]
    write_figures(tmp_path / "found.json", figures)
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8")) == {
        "figures": [
            {"name": "start", "value": 0.2, "unit": "s", "better": "lower", "target": 0.4},
            {"name": "ranking", "value": 9.6, "unit": "×", "better": "higher", "target": None},
        ]
    }
    assert read_figures(tmp_path / "found.json") == figures


def test_a_target_is_met_at_it_and_on_its_better_side():
    assert [Figure("f", value, "s", "lower", 2).met for value in (1.9, 2.0, 2.1)] == [True, True, False]
    assert [Figure("f", value, "×", "higher", 2).met for value in (1.9, 2.0, 2.1)] == [False, True, True]
    assert Figure("f", 1, "s").met is None


def test_without_a_path_nothing_is_written():
    write_figures(None, [Figure("start", 0.2, "s")])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="not a finite number: start"):
        write_figures(tmp_path / "found.json", [Figure("start", value, "s")])
    assert not list(tmp_path.iterdir())


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(ValueError, match="figures of one name: start"):
        write_figures(None, [Figure("start", 0.2, "s"), Figure("start", 0.3, "s")])
