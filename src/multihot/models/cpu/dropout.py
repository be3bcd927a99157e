"""Dropout whose random numbers cost little on a processor.

torch draws 64 random bits for every element on a processor, which takes as long as the matrix
products of a small encoder. 16 bits decide as well: a share is met to 1 in 65536, the stream is
still torch's own, seeded by `torch.manual_seed`, and the gradient is that of the product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CheapDropout", "cheap_dropout", "kept_places", "set_dropout", "use_cheap_dropout"]

_LEVELS = 2**16


def cheap_dropout(values: Tensor, share: float) -> Tensor:
    """Set a random share of the values to zero and scale the others up to keep the mean."""
    if values.device.type != "cpu" or share <= 0 or share >= 1:
        return F.dropout(values, share, training=True)
    return values * kept_places(values, share).mul_(1 / (1 - share))


def kept_places(values: Tensor, share: float) -> Tensor:
    """Draw which of some values on the processor are kept.

    *Shape and dtype:* those of `values`; 1 = kept, 0 = dropped. Products with numbers are several
    times faster than those with a mask of bool.
    """
    # One 64-bit number makes four decisions.
    words = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: values.numel()].view(values.shape)
    kept = torch.empty(values.shape, dtype=values.dtype)
    return torch.ge(levels, round(share * _LEVELS) - _LEVELS // 2, out=kept)


class CheapDropout(nn.Module):
    """`nn.Dropout` with `cheap_dropout` inside."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drop values while training. *Shape:* any."""
        return cheap_dropout(values, self.p) if self.training and self.p > 0 else values


def use_cheap_dropout(network: nn.Module) -> None:
    """Replace every `nn.Dropout` of a network; it has no weights, so no names change."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, CheapDropout(child.p).train(child.training))


def set_dropout(network: nn.Module, share: float) -> None:
    """Let a network drop this share of values and of attention weights.

    Its configuration keeps the shares that it was made for, which a later training takes up again.
    """
    for module in network.modules():
        if isinstance(module, nn.Dropout | CheapDropout):
            module.p = share
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", share)  # noqa: B010 - modules type every attribute
