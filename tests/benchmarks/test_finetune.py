"""Where a training step's seconds go."""

import time

import pytest
import torch

from benchmarks.finetune import profile_table
from benchmarks.finetuning.step_profile import KINDS, REST, StepProfile, kind_of


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::native_layer_norm_backward", "layer normalization"),
        ("aten::_fused_adamw_", "AdamW"),
        ("aten::mul", "sums and products of single numbers"),
        ("aten::index_select", "copies"),
        ("aten::sigmoid", "activation"),
        ("autograd::engine::evaluate_function", REST),
    ],
)
def test_operations_are_told_apart(operation, kind):
    assert kind_of(operation) == kind


def test_seconds_are_those_of_the_steps_and_the_heaviest_kind_comes_first():
    matrix, profile = torch.randn(500, 500), StepProfile()
    started = time.perf_counter()
    profile.start()
    for _ in range(4):
        (matrix @ matrix).add(1.0)
    seconds = profile.stop(steps=4)
    assert next(iter(seconds)) == "matrix products"
    assert seconds.keys() == {*KINDS, REST}
    assert 0 < sum(seconds.values()) < (time.perf_counter() - started) / 4


def test_a_table_has_a_line_a_kind_in_the_first_trainer_s_order():
    results = {
        "one": {"seconds": 3.0, "profile": {"matrix products": 2.0, "copies": 1.0}},
        "other": {"seconds": 4.0, "profile": {"copies": 3.25, "matrix products": 0.5}},
    }
    assert profile_table(results).splitlines() == [
        "| s a step | one | other |",
        "|---|--:|--:|",
        "| matrix products | 2.00 | 0.50 |",
        "| copies | 1.00 | 3.25 |",
        "| a step, by the clock | 3.00 | 4.00 |",
    ]
