import dataclasses
import inspect
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import cross_entropy, normalize

from clipbench.errors import ConfigError
from clipbench.training.loss_args import LOSS_ARGS
from clipbench.training.losses import LOSSES, MAX_LOGIT_SCALE, HardNegatives, LossInputs, configured_loss, find_loss
from clipbench.training.losses.importance import debiased, hn_nce
from clipbench.training.losses.inbatch_replacement import inbatch_replacement
from clipbench.training.losses.own_negatives import fsc, svlc
from clipbench.training.losses.sigmoid import sigmoid
from clipbench.training.recipe import Recipe
from tests.reference import losses as reference

NAMES = sorted(LOSSES)
SOFTMAX = sorted(set(LOSSES) - {"sigmoid"})
VARIANTS = [
    *((name, {}) for name in NAMES),
    ("inbatch_replacement", {"negatives_in": "image_to_text"}),
    ("svlc", {"weight": 3.0}),
    ("fsc", {"weight": 0.7, "gamma": 1.0, "smoothing": 0.3}),
    ("hn_nce", {"alpha": 0.6, "beta": 1.5}),
    ("debiased", {"beta": 0.0, "tau_plus": 0.3}),
    ("debiased", {"beta": 0.5, "tau_plus": 0.02}),
]
SIZES = [(2, 1, 1), (3, 2, 0), (4, 0, 2), (6, 1, 3), (7, 3, 2), (5, 0, 0)]
LEAVES = ("images", "texts", "scale", "bias", "negatives", "negative_images")


def distinct_positions(n, k, generator):
    rows = []
    for i in range(n):
        others = torch.tensor([j for j in range(n) if j != i])
        rows.append(others[torch.randperm(n - 1, generator=generator)[:k]])
    return torch.stack(rows)


def batch(n, k=1, m=0, seed=0, scale=7.0, masked=True, shared=False, weighted=False):
    """Random unit features. A third of the hard negatives is missing if ``masked``; pairs 0 and 1, and 2 and 3, share
    their image if ``shared``, and pair 0's first negative image is that of pair 1 and of the last pair."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return normalize(torch.randn(*shape, 5, dtype=torch.float64, generator=generator), dim=-1)

    def hard(count):
        valid = torch.rand(n, count, generator=generator) > 0.33 if masked else torch.ones(n, count, dtype=torch.bool)
        return HardNegatives(draw(n, count), distinct_positions(n, count, generator), valid) if count else None

    images, texts, negatives, negative_images = draw(n), draw(n), hard(k), hard(m)
    same = None
    if shared:
        number = torch.arange(n)
        number[1], number[3:4] = 0, 2
        same = number[:, None] == number
        if negative_images is not None:
            places = torch.zeros(n, m, n, dtype=torch.bool)
            places[0, 0, [1 % n, n - 1]] = True
            negative_images = dataclasses.replace(negative_images, same_image=places)
    return LossInputs(
        images, texts, torch.tensor(scale, dtype=torch.float64), negatives, negative_images, same,
        bias=torch.tensor(-1.5, dtype=torch.float64),
        weights=2 * torch.rand(n, dtype=torch.float64, generator=generator) if weighted else None,
    )  # fmt: skip


def case_of(inputs):
    """As the reference takes it."""
    n, dims = inputs.images.shape

    def array(tensor, shape):
        return np.zeros(shape, dtype=bool) if tensor is None else tensor.detach().numpy()

    def hard(negatives):
        none = negatives is None
        features = np.zeros((n, 0, dims)) if none else negatives.features.detach().numpy()
        valid = None if none else negatives.valid
        count = features.shape[1]
        valid = np.ones((n, count), dtype=bool) if valid is None else valid.numpy()
        positions = None if none or negatives.positions is None else negatives.positions.numpy()
        return features, positions, valid, array(None if none else negatives.same_image, (n, count, n))

    negatives, positions, valid, _ = hard(inputs.negatives)
    images_hn, image_positions, image_valid, image_same = hard(inputs.negative_images)
    return SimpleNamespace(
        images=inputs.images.detach().numpy(), texts=inputs.texts.detach().numpy(), scale=float(inputs.scale),
        bias=float(inputs.bias), negatives=negatives, positions=positions, valid=valid, images_hn=images_hn,
        image_positions=image_positions, image_valid=image_valid, image_same=image_same,
        same=array(inputs.same_image, (n, n)), weights=np.ones(n) if inputs.weights is None else inputs.weights.numpy(),
    )  # fmt: skip


def features_of(inputs):
    """The tensors that a loss is differentiable in, by name."""
    found = {name: getattr(inputs, name) for name in LEAVES}
    found = {name: value.features if isinstance(value, HardNegatives) else value for name, value in found.items()}
    return {name: value for name, value in found.items() if value is not None}


def with_features(inputs, features):
    """The inputs with other features."""
    given = {
        name: dataclasses.replace(getattr(inputs, name), features=value) if "negative" in name else value
        for name, value in features.items()
    }
    return dataclasses.replace(inputs, **given)


def with_gradients(name, inputs, arguments=None):
    """The loss and its gradients by images, texts, scale, …"""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in features_of(inputs).items()}
    loss = LOSSES[name](with_features(inputs, leaves), **(arguments or {}))
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), dict(zip(leaves, found, strict=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("n", "k", "m"), SIZES)
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_the_value_is_that_of_the_slow_reference(name, arguments, n, k, m, shared):
    for seed, masked, scale in ((0, False, 7.0), (1, True, 2.0), (2, True, 7.0)):
        inputs = batch(n, k, m, seed, scale, masked, shared, weighted=shared)
        expected = getattr(reference, name)(case_of(inputs), **arguments)
        loss = LOSSES[name](inputs, **arguments)
        assert loss.shape == ()
        assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_gradients_are_those_of_finite_differences(name, arguments, shared):
    inputs = batch(5, 2, 2, seed=3, scale=2.0, shared=shared, weighted=shared)
    inputs.negatives.valid[0] = False
    leaves = features_of(inputs)

    def loss(*values):
        return LOSSES[name](with_features(inputs, dict(zip(leaves, values, strict=True))), **arguments)

    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in leaves.values()))


def plain(images, texts, scale, negatives=None, positions=None, valid=None, **fields):
    return LossInputs(
        images, texts, torch.as_tensor(scale, dtype=images.dtype),
        None if negatives is None else HardNegatives(negatives, positions, valid), **fields,
    )  # fmt: skip


def test_a_two_by_two_batch_worked_by_hand():
    # cosine_similarity I·Tᵀ = [[1, 0], [0, 1]]; the hard negatives are worth 0.6 and 0.8 to their images; scale 2
    images = texts = torch.eye(2, dtype=torch.float64)
    negatives = torch.tensor([[[0.6, 0.8]], [[0.6, 0.8]]], dtype=torch.float64)
    given = plain(images, texts, 2.0, negatives, torch.tensor([[1], [0]]), bias=torch.tensor(-1.0, dtype=torch.float64))

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
        "hn_nce": (appended + info_nce) / 2,  # a single in-batch negative has weight 1
        # each image: right at 2 − 1, wrong at 0 − 1, and twice its own similarity with the hard negatives − 1
        "sigmoid": miss(1) + miss(1) + miss(-0.2) + miss(-0.6),
    }
    for name, value in expected.items():
        assert LOSSES[name](given).item() == pytest.approx(value, rel=1e-12), name
    both = inbatch_replacement(given, negatives_in="image_to_text")
    assert both.item() == pytest.approx((own + info_nce) / 2, rel=1e-12)


def test_a_three_by_three_batch_worked_by_hand():
    # S = 10·I·Tᵀ = diag(10); only row 0 has a hard negative, worth 10·0.5 = 5, in column 2
    images = texts = torch.eye(3, dtype=torch.float64)
    negatives = torch.zeros(3, 1, 3, dtype=torch.float64)
    negatives[0, 0] = torch.tensor([0.5, 0.5, math.sqrt(0.5)])
    valid = torch.tensor([[True], [False], [False]])
    given = plain(images, texts, 10.0, negatives, torch.tensor([[2], [0], [1]]), valid)
    clean = math.log1p(2 * math.exp(-10))
    hard = math.log1p(math.exp(-10) + math.exp(-5))  # row 0 of R is [10, 0, 5], column 2 [5, 0, 10]
    side = (2 * clean + hard) / 3
    assert inbatch_replacement(given).item() == pytest.approx(side, rel=1e-12)
    one_sided = inbatch_replacement(given, negatives_in="image_to_text")
    assert one_sided.item() == pytest.approx((side + clean) / 2, rel=1e-12)
    # the mean is over the one image that has a hard negative, not over three
    assert svlc(given).item() == pytest.approx(clean + math.log1p(math.exp(-5)), rel=1e-12)
    p = 1 / (1 + math.exp(-5))
    focal = -0.99 * (1 - p) ** 2 * math.log(p) - 0.01 * p**2 * math.log(1 - p)
    assert fsc(given).item() == pytest.approx(clean + 0.5 * focal, rel=1e-9)


def test_importance_weights_worked_by_hand():
    # Image 0 has similarities 3 (its own), 1 and 2; the other rows and all columns are what symmetry makes them.
    images = torch.eye(3, dtype=torch.float64)
    texts = torch.tensor([[3.0, 1, 2], [1, 3, 2], [2, 2, 3]], dtype=torch.float64).T
    weights = [2 * math.exp(0.5 * s) / (math.exp(0.5) + math.exp(1.0)) for s in (1, 2)]
    weighted = weights[0] * math.exp(1) + weights[1] * math.exp(2)
    even = 2 * math.exp(2)  # image 2: both at 2
    expected = sum(math.log((math.exp(3) + negatives) / math.exp(3)) for negatives in (weighted, weighted, even)) / 3
    assert hn_nce(plain(images, texts, 1.0), beta=0.5).item() == pytest.approx(expected, rel=1e-12)
    halved = (
        sum(math.log((0.5 * math.exp(3) + negatives) / math.exp(3)) for negatives in (weighted, weighted, even)) / 3
    )
    assert hn_nce(plain(images, texts, 1.0), alpha=0.5, beta=0.5).item() == pytest.approx(halved, rel=1e-12)
    rest = [(negatives - 2 * 0.1 * math.exp(3)) / 0.9 for negatives in (weighted, weighted, even)]
    expected = sum(math.log((math.exp(3) + negatives) / math.exp(3)) for negatives in rest) / 3
    assert debiased(plain(images, texts, 1.0), beta=0.5, tau_plus=0.1).item() == pytest.approx(expected, rel=1e-12)
    lowest = math.log((math.exp(3) + 2 * math.exp(-1)) / math.exp(3))  # 2·0.9·e³ is more than the negatives have
    assert debiased(plain(images, texts, 1.0), beta=0.5, tau_plus=0.9).item() == pytest.approx(lowest, rel=1e-12)


def test_rows_of_the_replaced_matrix_are_rows_with_the_entries_at_minus_infinity_and_the_negatives_beside():
    inputs = batch(8, 3, seed=5, masked=False)
    images, texts, negatives, positions = (
        inputs.images,
        inputs.texts,
        inputs.negatives.features,
        inputs.negatives.positions,
    )
    clean = inputs.scale * images @ texts.T
    labels = torch.arange(8)
    beside = torch.cat(
        [clean.scatter(1, positions, -torch.inf), inputs.scale * (images.unsqueeze(1) * negatives).sum(-1)], dim=1
    )
    expected = (cross_entropy(beside, labels) + cross_entropy(clean.T, labels)) / 2
    loss = inbatch_replacement(inputs, negatives_in="image_to_text")
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_without_hard_negatives_the_losses_are_open_clips(name):
    neutral = {"hn_nce": {"beta": 0.0}, "debiased": {"beta": 0.0, "tau_plus": 0.0}}.get(name, {})
    for n in (1, 2, 9):
        inputs = batch(n, 0, seed=n)
        if name == "sigmoid":
            expected = SigLipLoss()(inputs.images, inputs.texts, inputs.scale, inputs.bias)
        else:
            expected = ClipLoss()(inputs.images, inputs.texts, inputs.scale)
        none = HardNegatives(inputs.images.new_zeros(n, 0, 5), torch.zeros(n, 0, dtype=torch.int64))
        alone = torch.eye(n, dtype=torch.bool)  # every pair has an image of its own
        for given in (inputs, dataclasses.replace(inputs, negatives=none, negative_images=none, same_image=alone)):
            torch.testing.assert_close(LOSSES[name](given, **neutral), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", ["negatives", "negative_images"])
@pytest.mark.parametrize("filler", [0.0, 1e4, math.nan, math.inf])
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_a_masked_negative_changes_neither_loss_nor_gradient_whatever_stands_there(name, arguments, filler, side):
    inputs = batch(6, 2, 2, seed=8, masked=False)
    hard = getattr(inputs, side)
    short = HardNegatives(hard.features[:, :1], hard.positions[:, :1], hard.valid[:, :1])
    features, valid = hard.features.clone(), hard.valid.clone()
    features[:, 1], valid[:, 1] = filler, False
    filled = HardNegatives(features, hard.positions, valid)
    loss, gradients = with_gradients(name, dataclasses.replace(inputs, **{side: filled}), arguments)
    expected, without = with_gradients(name, dataclasses.replace(inputs, **{side: short}), arguments)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for by, wanted in without.items():
        got = gradients[by][:, :1] if by == side else gradients[by]
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    assert not gradients[side][:, 1].any()


@pytest.mark.parametrize("side", ["negatives", "negative_images"])
@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3]])
@pytest.mark.parametrize("name", NAMES)
def test_pairs_without_any_negative_leave_finite_gradients_and_the_plain_loss_if_they_are_all(name, rows, side):
    counts = {"k": 3} if side == "negatives" else {"k": 0, "m": 3}
    inputs = batch(4, **counts, seed=9, scale=100.0, masked=False)
    getattr(inputs, side).valid[rows] = False
    loss, gradients = with_gradients(name, inputs)
    assert all(gradient.isfinite().all() for gradient in (loss, *gradients.values()))
    assert not gradients[side][rows].any()
    without = LOSSES[name](dataclasses.replace(inputs, **{side: None}))
    assert torch.isclose(loss, without, rtol=1e-12) == (len(rows) == 4)


@pytest.mark.parametrize("scale", [7.0, MAX_LOGIT_SCALE])
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_captions_of_one_image_are_as_if_the_others_of_it_were_not_there(name, arguments, scale):
    """Of two pairs with one image each sees the batch without the other; the mean over batches without one of them."""
    inputs = batch(4, 0, 0, seed=21, scale=scale)
    number = torch.tensor([0, 1, 0, 0])
    loss, gradients = with_gradients(name, dataclasses.replace(inputs, same_image=number[:, None] == number), arguments)
    # Only pair 1 differs from the others, which see it alone: each is a batch of two.
    case = case_of(inputs)
    case.same = (number[:, None] == number).numpy()
    assert loss.item() == pytest.approx(getattr(reference, name)(case, **arguments), rel=1e-9, abs=1e-12)
    moved = dataclasses.replace(inputs, texts=inputs.texts.clone())
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    # Text 2 is no candidate of image 0: the gradient of image 0 does not depend on it. A 0 in its place would not do.
    moved.texts[2] = normalize(-inputs.texts[2] + 0.3, dim=0)
    _, after = with_gradients(name, dataclasses.replace(moved, same_image=number[:, None] == number), arguments)
    torch.testing.assert_close(after["images"][0], gradients["images"][0], rtol=1e-12, atol=1e-14)
    kept, _ = with_gradients(name, inputs, arguments)
    assert not torch.isclose(loss, kept, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("counts", [{"k": 0}, {"k": 2, "m": 2}])
@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_a_batch_of_one_image_has_finite_gradients(name, arguments, counts, dtype):
    inputs = batch(4, **counts, seed=22, scale=100.0, masked=False)
    every = torch.ones(4, 4, dtype=torch.bool)
    inputs = with_features(inputs, {by: value.to(dtype) for by, value in features_of(inputs).items()})
    loss, gradients = with_gradients(name, dataclasses.replace(inputs, same_image=every), arguments)
    assert all(gradient.isfinite().all() for gradient in (loss, *gradients.values()))
    if counts["k"] == 0 and name != "sigmoid":
        assert loss.item() == pytest.approx(math.log(arguments.get("alpha", 1)), abs=1e-6)


def test_a_replaced_entry_is_a_hard_negative_where_another_caption_of_the_image_stood():
    inputs = batch(3, 1, seed=23, masked=False)
    positions = torch.tensor([[1], [2], [0]])
    inputs = dataclasses.replace(inputs, negatives=dataclasses.replace(inputs.negatives, positions=positions))
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    shared = dataclasses.replace(inputs, same_image=same)
    found = with_gradients("inbatch_replacement", shared)[1]["negatives"]
    assert found[0].any()  # of row 0, in column 1
    labels = torch.arange(3)
    clean = inputs.scale * inputs.images @ inputs.texts.T
    own = inputs.scale * (inputs.images.unsqueeze(1) * inputs.negatives.features).sum(-1)
    matrix = clean.masked_fill(same, -torch.inf).scatter(1, positions, own)
    expected = (cross_entropy(matrix, labels) + cross_entropy(matrix.T, labels)) / 2
    torch.testing.assert_close(inbatch_replacement(shared), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_images_and_captions_are_treated_alike(name):
    inputs = batch(6, 2, 2, seed=24, shared=True)
    inputs = dataclasses.replace(inputs, negative_images=dataclasses.replace(inputs.negative_images, same_image=None))
    turned = dataclasses.replace(
        inputs, images=inputs.texts, texts=inputs.images, negatives=inputs.negative_images,
        negative_images=inputs.negatives,
    )  # fmt: skip
    torch.testing.assert_close(LOSSES[name](turned), LOSSES[name](inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_even_weights_change_nothing_and_a_pair_of_weight_zero_is_no_example(name, arguments):
    inputs = batch(5, 2, 2, seed=25, shared=True)
    expected = LOSSES[name](inputs, **arguments)
    even = dataclasses.replace(inputs, weights=torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(LOSSES[name](even, **arguments), expected, rtol=1e-12, atol=1e-12)
    none = dataclasses.replace(inputs, weights=torch.zeros(5))
    assert LOSSES[name](none, **arguments).item() == 0


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_the_order_of_the_batch_does_not_matter(name, arguments):
    inputs = batch(7, 2, 2, seed=10, shared=True)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)  # where each pair has gone: the positions name pairs

    def moved(hard):
        same = None if hard.same_image is None else hard.same_image[order][:, :, order]
        return HardNegatives(hard.features[order], place[hard.positions[order]], hard.valid[order], same)

    shuffled = dataclasses.replace(
        inputs, images=inputs.images[order], texts=inputs.texts[order], negatives=moved(inputs.negatives),
        negative_images=moved(inputs.negative_images), same_image=inputs.same_image[order][:, order],
    )  # fmt: skip
    loss, gradients = with_gradients(name, shuffled, arguments)
    expected, before = with_gradients(name, inputs, arguments)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients["images"], before["images"][order], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_features_are_scored_in_float32_under_autocast_too(name, dtype):
    inputs = batch(6, 2, 2, seed=11, scale=MAX_LOGIT_SCALE, shared=True)
    narrow = with_features(inputs, {by: value.to(dtype) for by, value in features_of(inputs).items()})
    wide = with_features(narrow, {by: value.float() for by, value in features_of(narrow).items()})
    expected = LOSSES[name](wide)
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (narrow, wide):
            loss = LOSSES[name](given)
            assert loss.dtype == torch.float32
            torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_saturated_scores_give_finite_gradients_in_float32(name, arguments):
    images = texts = torch.eye(4)
    negatives = torch.stack([-torch.eye(4), torch.eye(4)], dim=1)  # one at the far end, one equal to the caption
    hard = HardNegatives(negatives, torch.tensor([[1, 2], [2, 3], [3, 0], [0, 1]]))
    inputs = LossInputs(images, texts, torch.tensor(MAX_LOGIT_SCALE), hard, hard, bias=torch.tensor(-10.0))
    for given in (inputs, dataclasses.replace(inputs, texts=-texts), dataclasses.replace(inputs, texts=texts.flip(0))):
        loss, gradients = with_gradients(name, given, arguments)
        assert all(gradient.isfinite().all() for gradient in (loss, *gradients.values()))


def test_own_negatives_is_the_focal_loss_without_focus_and_smoothing_and_weights_scale_the_second_term():
    inputs = batch(5, 2, 1, seed=12)
    contrastive = svlc(inputs, weight=0.0)
    torch.testing.assert_close(contrastive, ClipLoss()(inputs.images, inputs.texts, inputs.scale))
    second = svlc(inputs) - contrastive
    torch.testing.assert_close(svlc(inputs, weight=3.0) - contrastive, 3 * second)
    unfocused = fsc(inputs, weight=1.0, gamma=0.0, smoothing=0.0)
    torch.testing.assert_close(unfocused, svlc(inputs), rtol=1e-12, atol=1e-12)


def test_without_weights_and_correction_the_importance_losses_are_negclip():
    inputs = batch(6, 2, 1, seed=14, shared=True)
    expected = LOSSES["negclip"](inputs)
    torch.testing.assert_close(hn_nce(inputs, beta=0.0), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(debiased(inputs, beta=0.0, tau_plus=0.0), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hn_nce(inputs, beta=0.8), debiased(inputs, beta=0.8, tau_plus=0.0))


def test_only_inbatch_replacement_depends_on_positions():
    inputs = batch(6, 2, 1, seed=13, masked=False)
    positions = distinct_positions(6, 2, torch.Generator().manual_seed(99))
    other = dataclasses.replace(inputs, negatives=dataclasses.replace(inputs.negatives, positions=positions))
    for name, loss in LOSSES.items():
        assert (name == "inbatch_replacement") == (loss(inputs).item() != loss(other).item()), name


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
    inputs = batch(3, 1)
    with pytest.raises(ConfigError, match="columns"):
        inbatch_replacement(inputs, negatives_in="columns")
    unplaced = dataclasses.replace(inputs, negatives=dataclasses.replace(inputs.negatives, positions=None))
    with pytest.raises(ConfigError, match="positions"):
        inbatch_replacement(unplaced)
    with pytest.raises(ConfigError, match="bias"):
        sigmoid(dataclasses.replace(inputs, bias=None))


def test_a_recipe_knows_each_losss_hyperparameters():
    for name, loss in LOSSES.items():
        keywords = [p for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert [p.name for p in keywords if p.name != "negatives_in"] == list(LOSS_ARGS[name])
    assert list(LOSS_ARGS) == list(LOSSES)


def test_a_recipes_hyperparameters_reach_the_loss():
    inputs = batch(5, 2, seed=15)
    found = configured_loss(Recipe(("color",), loss="hn_nce", loss_args={"beta": 0.7}))(inputs)
    assert found.item() == hn_nce(inputs, beta=0.7).item() != hn_nce(inputs).item()
    one_sided = configured_loss(Recipe(("color",), negatives_in="image_to_text"))(inputs)
    assert one_sided.item() == inbatch_replacement(inputs, negatives_in="image_to_text").item()
