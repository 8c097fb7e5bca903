"""Weights between a model and its fine-tuned version: WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from clipbench.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch

    from clipbench.models import Model

_ELLIPSES = ("…", "...")
_MOST_ALPHAS = 1_000
# Settings that change the features but no shape.
_FACTS = ("activation", "context_length", "precision")


def parse_alphas(text: str) -> tuple[float, ...]:
    """Read a list of shares, with ``…`` or ``...`` for a range.

    Examples:
        >>> parse_alphas("0,0.25,…,1")
        (0.0, 0.25, 0.5, 0.75, 1.0)

    Returns:
        The shares, ascending, each once.

    Raises:
        ConfigError: One is no number from 0 to 1, or the steps of a range do not meet its end.
    """
    found: list[Decimal] = []
    parts = [part.strip() for part in text.split(",")]
    for place, part in enumerate(parts):
        if part not in _ELLIPSES:
            found.append(_share(part, text))
            continue
        if len(found) < 2 or place + 1 == len(parts) or parts[place - 1] in _ELLIPSES:
            raise ConfigError(f"alphas {text!r}: write a range as FIRST,SECOND,…,LAST, such as 0,0.1,…,1")
        end, step = _share(parts[place + 1], text), found[-1] - found[-2]
        if step > 0 and end - found[-1] > step * _MOST_ALPHAS:
            raise ConfigError(f"alphas {text!r}: more than {_MOST_ALPHAS:,}")
        count = (end - found[-1]) / step if step else Decimal(-1)
        if count < 1 or count != int(count):
            raise ConfigError(f"alphas {text!r}: steps of {step} from {found[-1]} do not meet {end}")
        found += [found[-1] + step * number for number in range(1, int(count))]
    if len(found) > _MOST_ALPHAS:
        raise ConfigError(f"alphas: {len(found):,}, more than {_MOST_ALPHAS:,}")
    return tuple(sorted({float(value) for value in found}))


def _share(part: str, text: str) -> Decimal:
    try:
        value = Decimal(part)
    except InvalidOperation:
        raise ConfigError(f"alphas {text!r}: {part!r} is not a number") from None
    if not (value.is_finite() and 0 <= value <= 1):
        raise ConfigError(f"alphas {text!r}: {part} is not between 0 and 1")
    return value


def alpha_name(alpha: float) -> str:
    """A share as folders and tables name it: two decimals, or as many as it has.

    Examples:
        >>> alpha_name(0.3), alpha_name(0.125)
        ('0.30', '0.125')
    """
    short = f"{alpha:.2f}"
    return short if float(short) == alpha else repr(alpha)


def interpolated_id(base: str, finetuned: str, alpha: float) -> str:
    """What results call the model between two others."""
    return f"wise-ft({base}, {finetuned}, {alpha_name(alpha)})"


def interpolate(base: Model, finetuned: Model, alphas: Sequence[float]) -> Generator[tuple[float, Model]]:
    """Give ``base`` the weights ``(1 − α)·θ_base + α·θ_finetuned`` for one α after the other.

    All floating parameters and buffers are interpolated, the logit scale as the logarithm that it is stored as.
    Arithmetic is in double precision, rounded once to the weights' own; α = 0 and α = 1 give the ends bit for bit.
    Memory: the two models, and one copy of the weights.

    Args:
        base: The original model. It is changed in place, and has its own weights and id again at the end: when the
            iterator is exhausted, closed, or fails.
        finetuned: Its fine-tuned version; left as it is.
        alphas: Shares of the fine-tuned weights, each in [0, 1].

    Yields:
        α, and ``base`` with those weights and ``interpolated_id`` as its id. It changes at the next step.

    Raises:
        ModelError: The two are not versions of one model; the message names the first difference.
        ConfigError: An α is outside [0, 1].
    """
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha {alpha} is not between 0 and 1")
    check_compatible(base, finetuned)
    name, other = base.id, _weights_for(base, finetuned)
    with _restored(base) as original:
        for alpha in alphas:
            _fill(base, ((key, _between(original[key], other[key], alpha)) for key in original))
            base.id = interpolated_id(name, finetuned.id, alpha)
            yield alpha, base


@contextmanager
def _restored(model: Model) -> Iterator[Mapping[str, torch.Tensor]]:
    """Yield a copy of the model's weights, and put them and the id back at the end."""
    name = model.id
    copy = {key: tensor.detach().to("cpu", copy=True) for key, tensor in model.module.state_dict().items()}
    try:
        yield copy
    finally:
        model.id = name
        _fill(model, copy.items())


def _fill(model: Model, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Overwrite weights in place, which fingerprints notice."""
    import torch

    state = model.module.state_dict()
    with torch.no_grad():
        for key, tensor in weights:
            state[key].copy_(tensor)


def _between(base: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
    """``(1 − α)·base + α·finetuned``; whole numbers, which have no between, are the base's below α = 1."""
    import torch

    if alpha == 1:
        return finetuned
    if alpha == 0 or not base.is_floating_point():
        return base
    # On the CPU: not every accelerator has double precision.
    low, high = base.double(), finetuned.detach().to("cpu", torch.float64)
    return (low * (1 - alpha) + high * alpha).to(base.dtype)


def check_compatible(base: Model, finetuned: Model) -> None:
    """Check that two models are versions of one.

    Raises:
        ModelError: Names the first difference, in library, architecture, weights' names and shapes, tokenizer,
            preprocessing, or in what equal weights compute.
    """
    pair = f"{base.id} and {finetuned.id}"
    library, other_library = base.info.library, finetuned.info.library
    if library != other_library:
        raise ModelError(
            f"{pair}: one is a model of {library}, the other of {other_library}; convert one first with "
            f"clipbench.models.convert.to_{'open_clip' if library == 'open_clip' else 'transformers'}"
        )
    for fact in _FACTS:
        one, other = getattr(base.info, fact), getattr(finetuned.info, fact)
        if one != other:
            raise ModelError(f"{pair}: {fact} {one} and {other}")
    _check_states(pair, base.module.state_dict(), _weights_for(base, finetuned))
    _check_inputs(pair, base, finetuned)
    _check_computation(pair, base, finetuned)


def _weights_for(base: Model, finetuned: Model) -> dict[str, torch.Tensor]:
    """The fine-tuned weights, without a bias of the logits that fine-tuning added: features do not depend on it."""
    state = dict(finetuned.module.state_dict())
    if "logit_bias" not in base.module.state_dict():
        state.pop("logit_bias", None)
    return state


def _check_states(pair: str, base: Mapping[str, torch.Tensor], finetuned: Mapping[str, torch.Tensor]) -> None:
    for key in [*base, *finetuned]:
        if key not in base or key not in finetuned:
            raise ModelError(f"{pair}: only the {'first' if key in base else 'second'} has weights {key}")
        one, other = base[key], finetuned[key]
        if one.shape != other.shape or one.dtype != other.dtype:
            raise ModelError(
                f"{pair}: {key} is {tuple(one.shape)} {one.dtype} in the first, {tuple(other.shape)} {other.dtype} "
                "in the second"
            )


def _check_inputs(pair: str, base: Model, finetuned: Model) -> None:
    """Compare what tokenizers and preprocessors make of probes: settings of equal effect may be written differently."""
    import torch

    from clipbench.models import probes

    for text in probes.TOKENIZER_TEXTS:
        one, other = base.tokenize([text]).inputs, finetuned.tokenize([text]).inputs
        if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
            raise ModelError(f"{pair}: their tokenizers read {text[:40]!r} differently")
    image = probes.noise_image(130, 90)
    if not torch.equal(base.preprocess(image), finetuned.preprocess(image)):
        raise ModelError(f"{pair}: they preprocess images differently (size, crop, interpolation, mean or std)")


def _check_computation(pair: str, base: Model, finetuned: Model) -> None:
    """Give the base the fine-tuned weights: its features must be the fine-tuned model's own."""
    import torch

    from clipbench.models import probes

    tokens, pixels = base.tokenize(probes.TOKENIZER_TEXTS), base.preprocess(probes.noise_image(130, 90))[None]
    with _restored(base), torch.no_grad():
        _fill(base, _weights_for(base, finetuned).items())
        for side in ("text", "image"):
            one, two = (
                model.text_features(tokens) if side == "text" else model.image_features(pixels)
                for model in (base, finetuned)
            )
            if not torch.allclose(one.cpu(), two.cpu(), rtol=1e-4, atol=1e-5):
                raise ModelError(
                    f"{pair}: equal weights give other {side} features: their configurations differ in a setting "
                    "that shapes do not show, such as the number of heads"
                )
