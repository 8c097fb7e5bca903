import pytest

from clipbench.errors import ConfigError
from clipbench.training.learning_rate import learning_rate
from clipbench.training.recipe import Recipe


def rates(steps, **fields):
    recipe = Recipe(("color",), learning_rate=1.0, **fields)
    return [round(learning_rate(recipe, step, steps), 6) for step in range(steps)]


def test_the_papers_rate_is_constant():
    assert rates(3) == [1, 1, 1]


def test_warm_up_and_cool_down_are_straight_lines():
    assert rates(8, warmup_steps=2, cooldown_steps=4) == [0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_a_cosine_falls_to_zero():
    found = rates(100, lr_schedule="cosine")
    assert found[0] == 1
    assert found[50] == 0.5
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.001


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"concepts": ()}, "give at least one concept"),
        ({"concepts": ("color", "color")}, "without duplicates"),
        ({"batch_size": 1}, "batch_size 1: give 2 or more"),
        ({"negatives": -1}, "negatives -1"),
        ({"precision": "fp8"}, "precision 'fp8': give auto or fp32 or fp16 or bf16"),
        ({"learning_rate": float("inf")}, "learning_rate inf"),
        ({"projection_learning_rate": 0.1, "learning_rate": 0}, "needs a learning_rate above 0"),
        ({"unfreeze_text_layers": 1, "freeze": ("image",)}, "unfreeze_text_layers 1: needs freeze text"),
        (
            {"center_images": True, "freeze": ("image",), "unfreeze_image_layers": 1},
            "center_images: needs freeze image",
        ),
        ({"freeze": ("image", "text", "image_projection", "text_projection")}, "nothing is left"),
        ({"seed": -1}, "seed -1"),
        ({"max_steps": 0}, "max_steps 0"),
        ({"same_image": "drop"}, "same_image 'drop': give mask or keep"),
        ({"captions_per_image": "two"}, "captions_per_image 'two': give all or one"),
        ({"loss_args": {"beta": 1}}, "loss_args beta: not of loss inbatch_replacement; it has none"),
        ({"loss": "hn_nce", "loss_args": {"bta": 1}}, r"loss_args bta: .* \(did you mean beta\?\); it has alpha, beta"),
        ({"loss": "hn_nce", "loss_args": {"alpha": 0}}, "loss_args alpha 0.0: give 1e-06 or more"),
        ({"loss": "hn_nce", "loss_args": {"beta": float("nan")}}, "loss_args beta nan: give a number"),
        ({"loss": "hn_nce", "loss_args": {"beta": "big"}}, "loss_args beta 'big': give a number"),
        ({"loss": "hn_nce", "loss_args": "beta=1"}, "loss_args 'beta=1': give names with values"),
        ({"loss": "debiased", "loss_args": {"tau_plus": 1}}, "loss_args tau_plus 1.0: give 0.999 or less"),
        ({"loss": "fsc", "loss_args": {"gamma": 0.5}}, "loss_args gamma 0.5: give 0, or 1 or more"),
        ({"loss": "negclip", "negatives": 0}, "loss negclip: needs negatives"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**{"concepts": ("color",), **fields})


@pytest.mark.parametrize("loss", ["hn_nce", "debiased", "sigmoid"])
def test_losses_of_in_batch_negatives_need_no_others(loss):
    assert Recipe(("color",), loss=loss, negatives=0).negatives == 0


def test_negative_images_are_negatives_too():
    given = {"loss": "negclip", "negatives": 0, "negative_images_from": ("neg_image",)}
    assert Recipe(("color",), **given).loss == "negclip"
