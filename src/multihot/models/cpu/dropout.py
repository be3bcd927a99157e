"""Dropout whose random numbers cost little on a CPU.

torch draws 64 random bits for every element on a CPU, which takes as long as the matrix products of
a small encoder. 16 bits decide as well: a probability is met to 1 in 65536, the stream is still
torch's own, seeded by `torch.manual_seed`, and the gradient is that of the product.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multihot.models.cpu.self_test import KernelComparison, kernel_failure, replace_modules

__all__ = [
    "FastDropout",
    "dropout_failure",
    "fast_dropout",
    "keep_mask",
    "replace_dropout",
    "set_dropout",
]

_LEVELS = 2**16


def fast_dropout(values: Tensor, probability: float) -> Tensor:
    """Set random values to zero and scale the others up to keep the mean; else as `F.dropout`."""
    if (
        values.device.type != "cpu"
        or not 0 < probability < 1
        or dropout_failure(values.dtype) is not None
    ):
        return F.dropout(values, probability, training=True)
    return _masked(values, probability)


def _masked(values: Tensor, probability: float) -> Tensor:
    return values * keep_mask(values, probability).mul_(1 / (1 - probability))


def keep_mask(values: Tensor, probability: float) -> Tensor:
    """Draw which of some values on the CPU are kept.

    *Shape and dtype:* those of `values`; 1 = kept, 0 = dropped. Products with numbers are several
    times faster than those with a mask of bool.
    """
    # One 64-bit number makes four decisions.
    bits = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = bits.view(torch.int16)[: values.numel()].view(values.shape)
    kept = torch.empty(values.shape, dtype=values.dtype)
    return torch.ge(levels, round(probability * _LEVELS) - _LEVELS // 2, out=kept)


@functools.cache
def dropout_failure(dtype: torch.dtype) -> str | None:
    """Return why `fast_dropout` cannot be used in this precision; `None` when it can."""
    return kernel_failure(lambda: _comparisons(dtype), dtype)


def _comparisons(dtype: torch.dtype) -> Iterator[KernelComparison]:
    for probability in (0.1, 0.5):
        values = torch.randn(4096).add(3).to(dtype).requires_grad_()
        dropped = _masked(values, probability)
        (gradient,) = torch.autograd.grad(dropped.sum(), values)
        factors = (dropped.detach() != 0) / (1 - probability)
        yield "output", dropped, values.detach().float() * factors
        yield "gradient", gradient, factors
        # Five standard deviations at most, which is 0.04 at a probability of one half.
        surplus = (factors == 0).float().mean() - probability
        allowed = 5 * (probability * (1 - probability) / values.numel()) ** 0.5
        yield "dropped fraction", (surplus.abs() > allowed).float(), torch.zeros(())


class FastDropout(nn.Module):
    """`nn.Dropout` with `fast_dropout` inside."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drop values while training. *Shape:* any."""
        return fast_dropout(values, self.p) if self.training and self.p > 0 else values


def replace_dropout(network: nn.Module) -> None:
    """Replace every `nn.Dropout` of a network; it has no weights, so no names change."""
    replace_modules(network, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    return FastDropout(module.p) if type(module) is nn.Dropout else None


def set_dropout(network: nn.Module, probability: float) -> None:
    """Set the probability of dropping values and attention weights in a whole network.

    Its configuration keeps the probabilities that it was made for, which a later training takes up.
    """
    for module in network.modules():
        if isinstance(module, nn.Dropout | FastDropout):
            module.p = probability
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", probability)  # noqa: B010 - modules type every attribute
