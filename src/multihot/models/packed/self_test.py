"""Turn packed execution on for a network, after a check that it computes the same.

Letters: `T` tokens of all texts together, `L` labels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from multihot.models.encoder import first_position
from multihot.models.packed.encoder import (
    ATTENTION,
    is_packable,
    register,
    set_attention,
)
from multihot.models.packed.layout import Packing, lay_out

__all__ = ["check_packed", "enable_packed"]

_LONG_TEXT = 200  # tokens
_SMALL_DIFFERENCE = 1e-4  # of the largest value; float32 leaves about 1e-6
_SMALL_DIFFERENCE_BF16 = 0.05  # of the largest value; another text's influence is well above
_SMALL_GRADIENT_DIFFERENCE = 1e-2  # of a parameter's gradient: cosine above 0.9999
_NEGLIGIBLE_GRADIENT = 1e-5  # of the whole gradient; key biases have none but rounding

_Autocast = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class _Outputs:
    """What a network computes for some texts."""

    logits: Tensor
    """*Shape:* (texts, L)."""
    hidden: Sequence[Tensor]
    """After the embeddings and every layer. *Shape:* (T, D) each."""
    gradients: Sequence[Tensor | None]
    """Of the logits weighted by fixed random numbers, for every parameter."""


def enable_packed(
    network: Any, *, gradients: bool = True, autocast: _Autocast | None = None
) -> str | None:
    """Let a network run packed batches; return `None`, or one sentence why it cannot.

    It stays able to run padded batches. After a refusal it is as it was before. See `check_packed`.
    """
    encoder = network.transformer
    if encoder.config._attn_implementation == ATTENTION:
        return None
    return check_packed(network, gradients=gradients, autocast=autocast, keep=True)


def check_packed(
    network: Any,
    *,
    gradients: bool = True,
    autocast: _Autocast | None = None,
    keep: bool = False,
) -> str | None:
    """Compare texts packed into one row with each of them alone, in float32.

    The texts have random tokens and the lengths 1, 7 and 200, or twice the widest attention window
    when that is more, as far as the encoder has positions: so that a missing window, a position
    that continues from text to text, and a token that sees another text each change the result.

    Parameters
    ----------
    network
        One of `models.network`; its mode and its weights' gradients are left alone.
    gradients
        Whether to compare the gradients of all parameters as well.
    autocast
        The context that batches will run in, where another attention kernel may run in it (half
        precision on CUDA): the logits are compared in it too, as closely as it allows.
    keep
        Whether the encoder keeps the packed attention when all is well.

    Returns
    -------
    str or None
        `None`: packed and alone are equal. Else one sentence on what differs.
    """
    encoder = network.transformer
    family = type(encoder).__name__
    if not is_packable(encoder):
        return f"{family} does not take its attention from transformers' interface."
    register()
    before, was_training, good = encoder.config._attn_implementation, network.training, False
    network.eval()
    try:
        texts = _texts(encoder, getattr(network, "shortest_text", 1))
        alone = _run_alone(network, texts, gradients)
        set_attention(encoder, ATTENTION)
        reason = _differences(network, texts, alone, gradients)
        if reason is None and autocast is not None:
            reason = _half_precision_differences(network, texts, alone, autocast)
        good = reason is None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = f"{family} cannot run a packed row: {type(error).__name__}: {error}"
    finally:
        network.train(was_training)
        if not (good and keep):
            set_attention(encoder, before)
    return reason


def _texts(encoder: nn.Module, shortest: int) -> list[Tensor]:
    """Return texts of random tokens, (length,), int64 each."""
    config: Any = encoder.config
    windows = (getattr(config, name, None) for name in ("local_attention", "sliding_window"))
    widest = max((window for window in windows if isinstance(window, int)), default=0)
    lengths = [shortest, shortest + 6, max(2 * widest, shortest - 1 + _LONG_TEXT)]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        lengths = [min(length, positions - first_position(config)) for length in lengths]
    device = next(encoder.parameters()).device
    draw = np.random.default_rng(0).integers
    return [torch.from_numpy(draw(0, config.vocab_size, length)).to(device) for length in lengths]


def _run_alone(network: Any, texts: Sequence[Tensor], gradients: bool) -> _Outputs:
    """Run each text in a call of its own, with nothing packed and nothing padded."""
    logits, hidden = [], []
    with torch.set_grad_enabled(gradients), _watched(network.transformer) as layers:
        for text in texts:
            logits.append(network(text[None], torch.ones_like(text)[None]))
            hidden.append([layer[0].detach() for layer in layers])
    together = torch.cat(logits)
    return _Outputs(
        together.detach(),
        [torch.cat(pieces) for pieces in zip(*hidden, strict=True)],
        _gradients(network, together) if gradients else (),
    )


@contextlib.contextmanager
def _watched(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Give the list that holds the vectors after every layer of the encoder's last call.

    *Shape:* (1, T, D) each; the list stays empty when the encoder does not return them.
    """
    layers: list[Tensor] = []

    def request(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "output_hidden_states": True}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        layers[:] = output.hidden_states or ()

    handles = [
        encoder.register_forward_pre_hook(request, with_kwargs=True),
        encoder.register_forward_hook(keep),
    ]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()


def _pack(texts: Sequence[Tensor]) -> tuple[Tensor, Packing]:
    lengths = [0, *map(len, texts)]
    return torch.cat(list(texts)), lay_out(np.cumsum(lengths), texts[0].device)


def _gradients(network: nn.Module, logits: Tensor) -> Sequence[Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(logits.shape, generator=generator).to(logits.device)
    parameters = [p for p in network.parameters() if p.requires_grad]
    return torch.autograd.grad((logits * weights).sum(), parameters, allow_unused=True)


def _differences(
    network: Any, texts: Sequence[Tensor], alone: _Outputs, gradients: bool
) -> str | None:
    """Run all texts in one packed row; return one sentence on what differs from `alone`."""
    encoder = network.transformer
    family, num_layers = type(encoder).__name__, encoder.config.num_hidden_layers
    ids, packing = _pack(texts)
    calls: list[None] = []
    counting = replace(packing, on_attention=lambda: calls.append(None))
    with torch.set_grad_enabled(gradients), _watched(encoder) as layers:
        logits = network(ids, counting)
    if len(calls) != num_layers:
        return f"{family} called the packed attention {len(calls)} times in {num_layers} layers."
    for number, (expected, vectors) in enumerate(zip(alone.hidden, layers, strict=True)):
        if number == num_layers and vectors.shape[1] < len(ids):
            continue  # the last layer computes only the tokens that are read; the logits cover it
        if (difference := _difference(vectors[0, : len(ids)], expected)) > _SMALL_DIFFERENCE:
            after = f"layer {number}" if number else "the embeddings"
            return (
                f"{family} gives other vectors for packed texts after {after} ({difference:.0e})."
            )
    if (difference := _difference(logits, alone.logits)) > _SMALL_DIFFERENCE:
        return f"{family} gives other logits for packed texts ({difference:.0e})."
    if gradients and (names := _differing_gradients(network, logits, alone.gradients)):
        return f"{family} gives other gradients for packed texts, first of {names[0]}."
    return None


def _half_precision_differences(
    network: Any, texts: Sequence[Tensor], alone: _Outputs, autocast: _Autocast
) -> str | None:
    with torch.no_grad(), autocast():
        difference = _difference(network(*_pack(texts)), alone.logits)
    if difference <= _SMALL_DIFFERENCE_BF16:
        return None
    family = type(network.transformer).__name__
    return f"{family} gives other logits for packed texts in half precision ({difference:.0e})."


def _difference(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest value; infinite for NaN."""
    largest = expected.abs().max().clamp(min=1e-30)
    relative = (actual.detach().float() - expected).abs().max() / largest
    return relative.item() if torch.isfinite(relative) else float("inf")


def _differing_gradients(
    network: nn.Module, logits: Tensor, expected: Sequence[Tensor | None]
) -> list[str]:
    """Return the names of parameters whose gradient differs."""
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    actual = _gradients(network, logits)
    whole = sum((g.norm() ** 2 for g in expected if g is not None), torch.zeros(())) ** 0.5
    return [
        name
        for name, ours, theirs in zip(names, actual, expected, strict=True)
        if not _same_gradient(ours, theirs, whole)
    ]


def _same_gradient(actual: Tensor | None, expected: Tensor | None, whole: Tensor) -> bool:
    if actual is None or expected is None:
        present = actual if expected is None else expected
        return present is None or bool(present.norm() <= _NEGLIGIBLE_GRADIENT * whole)
    allowed = _SMALL_GRADIENT_DIFFERENCE * expected.norm() + _NEGLIGIBLE_GRADIENT * whole
    return bool((actual - expected).norm() <= allowed)
