import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn.functional import cross_entropy, normalize

from clipbench.errors import ConfigError
from clipbench.training.losses import LOSSES, MAX_LOGIT_SCALE, find_loss, fsc, inbatch_replacement, svlc
from clipbench.training.recipe import Recipe
from tests.reference import losses as reference

NAMES = sorted(LOSSES)
SIZES = [(2, 1), (3, 2), (4, 3), (6, 1), (7, 3)]


def distinct_positions(n, k, generator):
    rows = []
    for i in range(n):
        others = torch.tensor([j for j in range(n) if j != i])
        rows.append(others[torch.randperm(n - 1, generator=generator)[:k]])
    return torch.stack(rows)


def batch(n, k, seed=0, scale=7.0, masked=True):
    """Random unit features; about a third of the hard negatives is missing if ``masked``."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return normalize(torch.randn(*shape, 5, dtype=torch.float64, generator=generator), dim=-1)

    valid = torch.rand(n, k, generator=generator) > 0.33 if masked else torch.ones(n, k, dtype=torch.bool)
    scale = torch.tensor(scale, dtype=torch.float64)
    return [draw(n), draw(n), draw(n, k), distinct_positions(n, k, generator), valid, scale]


def with_gradients(name, arguments, direction="both"):
    """The loss and its gradients by images, texts, negatives and scale."""
    images, texts, negatives, positions, valid, scale = arguments
    leaves = [tensor.clone().requires_grad_() for tensor in (images, texts, negatives, scale)]
    loss = LOSSES[name](leaves[0], leaves[1], leaves[2], positions, valid, leaves[3], direction)
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return loss.detach(), gradients


@pytest.mark.parametrize("direction", ["both", "image_to_text"])
@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_that_of_the_slow_reference(name, n, k, direction):
    for seed, masked in ((0, False), (1, True), (2, True)):
        arguments = batch(n, k, seed, masked=masked)
        expected = getattr(reference, name)(*(tensor.numpy() for tensor in arguments), direction)
        loss = LOSSES[name](*arguments, direction)
        assert loss.shape == ()
        assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("direction", ["both", "image_to_text"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name, direction):
    images, texts, negatives, positions, valid, scale = batch(4, 2, seed=3, scale=3.0)
    valid[0] = False
    inputs = tuple(tensor.requires_grad_() for tensor in (images, texts, negatives, scale))

    def loss(images, texts, negatives, scale):
        return LOSSES[name](images, texts, negatives, positions, valid, scale, direction)

    assert torch.autograd.gradcheck(loss, inputs)


def test_a_two_by_two_batch_worked_by_hand():
    # cosine_similarity I·Tᵀ = [[1, 0], [0, 1]]; the hard negatives are worth 0.6 and 0.8 to their images; scale 2
    images = texts = torch.eye(2, dtype=torch.float64)
    negatives = torch.tensor([[[0.6, 0.8]], [[0.6, 0.8]]], dtype=torch.float64)
    given = (images, texts, negatives, torch.tensor([[1], [0]]), None, torch.tensor(2.0))

    def miss(margin):  # cross-entropy of two candidates, the right one ahead by the margin
        return math.log1p(math.exp(-margin))

    info_nce = miss(2)
    own = (miss(2 - 1.2) + miss(2 - 1.6)) / 2
    # image 0 sees [2, 0, 1.2, 1.2], image 1 [0, 2, 1.6, 1.6]
    appended = sum(math.log1p(math.exp(-2) + 2 * math.exp(-margin)) for margin in (0.8, 0.4)) / 2
    # replaced: [[2, 1.2], [1.6, 2]]; its columns are [2, 1.6] and [1.2, 2]: the same two margins
    expected = {
        "inbatch_replacement": own,
        "negclip": (appended + info_nce) / 2,
        "svlc": info_nce + own,
    }
    for name, value in expected.items():
        assert LOSSES[name](*given).item() == pytest.approx(value, rel=1e-12)
    assert inbatch_replacement(*given, "image_to_text").item() == pytest.approx((own + info_nce) / 2, rel=1e-12)


def test_a_three_by_three_batch_worked_by_hand():
    # S = 10·I·Tᵀ = diag(10); only row 0 has a hard negative, worth 10·0.5 = 5, in column 2
    images = texts = torch.eye(3, dtype=torch.float64)
    negatives = torch.zeros(3, 1, 3, dtype=torch.float64)
    negatives[0, 0] = torch.tensor([0.5, 0.5, math.sqrt(0.5)])
    valid = torch.tensor([[True], [False], [False]])
    positions = torch.tensor([[2], [0], [1]])
    given = (images, texts, negatives, positions, valid, torch.tensor(10.0))
    clean = math.log1p(2 * math.exp(-10))
    hard = math.log1p(math.exp(-10) + math.exp(-5))  # row 0 of R is [10, 0, 5], column 2 [5, 0, 10]
    side = (2 * clean + hard) / 3
    assert inbatch_replacement(*given, "both").item() == pytest.approx(side, rel=1e-12)
    assert inbatch_replacement(*given, "image_to_text").item() == pytest.approx((side + clean) / 2, rel=1e-12)
    # the mean is over the one image that has a hard negative, not over three
    assert svlc(*given).item() == pytest.approx(clean + math.log1p(math.exp(-5)), rel=1e-12)
    p = 1 / (1 + math.exp(-5))
    focal = -0.99 * (1 - p) ** 2 * math.log(p) - 0.01 * p**2 * math.log(1 - p)
    assert fsc(*given).item() == pytest.approx(clean + 0.5 * focal, rel=1e-9)


def test_rows_of_the_replaced_matrix_are_rows_with_the_entries_at_minus_infinity_and_the_negatives_beside():
    images, texts, negatives, positions, _, scale = batch(8, 3, seed=5, masked=False)
    clean = scale * images @ texts.T
    labels = torch.arange(8)
    beside = torch.cat(
        [clean.scatter(1, positions, -torch.inf), scale * (images.unsqueeze(1) * negatives).sum(-1)], dim=1
    )
    expected = (cross_entropy(beside, labels) + cross_entropy(clean.T, labels)) / 2
    loss = inbatch_replacement(images, texts, negatives, positions, None, scale, "image_to_text")
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_without_hard_negatives_each_loss_is_open_clips(name):
    for n in (1, 2, 9):
        images, texts, _, _, _, scale = batch(n, 0, seed=n)
        expected = ClipLoss()(images, texts, scale)
        none = LOSSES[name](images, texts, None, None, None, scale)
        empty = LOSSES[name](
            images, texts, images.new_zeros(n, 0, 5), torch.zeros(n, 0, dtype=torch.int64), None, scale
        )
        torch.testing.assert_close(none, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(empty, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("filler", [0.0, 1e4, math.nan, math.inf])
@pytest.mark.parametrize("direction", ["both", "image_to_text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_masked_negative_changes_neither_loss_nor_gradient_whatever_stands_there(name, direction, filler):
    images, texts, negatives, positions, valid, scale = batch(6, 2, seed=8, masked=False)
    short = (images, texts, negatives[:, :1], positions[:, :1], valid[:, :1], scale)
    negatives, valid = negatives.clone(), valid.clone()
    negatives[:, 1], valid[:, 1] = filler, False
    loss, gradients = with_gradients(name, (images, texts, negatives, positions, valid, scale), direction)
    expected, without = with_gradients(name, short, direction)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for by, (got, wanted) in enumerate(zip(gradients, without, strict=True)):
        torch.testing.assert_close(got[:, :1] if by == 2 else got, wanted, rtol=1e-10, atol=1e-12)
    assert not gradients[2][:, 1].any()


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3]])
@pytest.mark.parametrize("name", NAMES)
def test_captions_without_any_negative_leave_finite_gradients_and_plain_info_nce_if_they_are_all(name, rows):
    images, texts, negatives, positions, valid, scale = batch(4, 3, seed=9, scale=100.0, masked=False)
    valid[rows] = False
    loss, gradients = with_gradients(name, (images, texts, negatives, positions, valid, scale))
    assert all(gradient.isfinite().all() for gradient in (loss, *gradients))
    assert not gradients[2][rows].any()
    plain = ClipLoss()(images, texts, scale)
    assert torch.isclose(loss, plain, rtol=1e-12) == (len(rows) == 4)


@pytest.mark.parametrize("direction", ["both", "image_to_text"])
@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_batch_does_not_matter(name, direction):
    images, texts, negatives, positions, valid, scale = batch(7, 2, seed=10)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)  # where each caption has gone: the positions name captions
    shuffled = (images[order], texts[order], negatives[order], place[positions[order]], valid[order], scale)
    loss, gradients = with_gradients(name, shuffled, direction)
    expected, before = with_gradients(name, (images, texts, negatives, positions, valid, scale), direction)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[0], before[0][order], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_features_are_scored_in_float32_under_autocast_too(name, dtype):
    images, texts, negatives, positions, valid, scale = batch(6, 2, seed=11, scale=MAX_LOGIT_SCALE)
    narrow = [tensor.to(dtype) for tensor in (images, texts, negatives)]
    wide = [tensor.float() for tensor in narrow]
    expected = LOSSES[name](*wide, positions, valid, scale.float())
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for features in (narrow, wide):
            loss = LOSSES[name](*features, positions, valid, scale.to(dtype))
            assert loss.dtype == torch.float32
            torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_saturated_scores_give_finite_gradients_in_float32(name):
    images = texts = torch.eye(4)
    negatives = torch.stack([-torch.eye(4), torch.eye(4)], dim=1)  # one at the far end, one equal to the caption
    arguments = (images, texts, negatives, torch.tensor([[1, 2], [2, 3], [3, 0], [0, 1]]), None)
    loss, gradients = with_gradients(name, (*arguments, torch.tensor(MAX_LOGIT_SCALE)))
    assert all(gradient.isfinite().all() for gradient in (loss, *gradients))


def test_own_negatives_is_the_focal_loss_without_focus_and_smoothing_and_weights_scale_the_second_term():
    arguments = batch(5, 2, seed=12)
    contrastive = svlc(*arguments, weight=0.0)
    torch.testing.assert_close(contrastive, ClipLoss()(arguments[0], arguments[1], arguments[5]))
    second = svlc(*arguments) - contrastive
    torch.testing.assert_close(svlc(*arguments, weight=3.0) - contrastive, 3 * second)
    plain = fsc(*arguments, weight=1.0, gamma=0.0, smoothing=0.0)
    torch.testing.assert_close(plain, svlc(*arguments), rtol=1e-12, atol=1e-12)


def test_only_inbatch_replacement_depends_on_positions_and_negatives_in():
    arguments = batch(6, 2, seed=13, masked=False)
    other = list(arguments)
    other[3] = distinct_positions(6, 2, torch.Generator().manual_seed(99))
    for name, loss in LOSSES.items():
        values = {loss(*arguments, "both"), loss(*arguments, "image_to_text"), loss(*other, "image_to_text")}
        assert (name == "inbatch_replacement") == (len({value.item() for value in values}) == 3), name


FORMER = {
    "replaced_cells": "inbatch_replacement",
    "appended_negatives": "negclip",
    "own_negatives": "svlc",
    "focal_own_negatives": "fsc",
}


@pytest.mark.parametrize("former", FORMER)
def test_former_names_of_losses_are_accepted(former):
    assert find_loss(former) is LOSSES[FORMER[former]]
    assert Recipe(("color",), loss=former).loss == FORMER[former]


def test_what_makes_no_sense_is_refused_by_name():
    images, texts, negatives, positions, valid, scale = batch(3, 1)
    with pytest.raises(ConfigError, match="columns"):
        inbatch_replacement(images, texts, negatives, positions, valid, scale, "columns")
    with pytest.raises(ConfigError, match="negative_positions"):
        inbatch_replacement(images, texts, negatives, None, valid, scale)
