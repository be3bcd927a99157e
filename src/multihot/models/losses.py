"""Losses: pure functions of logits and targets that return a sum and its weight.

Letters: `B` rows, `L` labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["masked_binary_cross_entropy"]


def masked_binary_cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the binary cross-entropy over the known cells.

    `-[y log s(z) + (1 - y) log(1 - s(z))]` with the logistic function `s`, computed from the logits
    in float32. The caller divides by the weight of the whole optimiser step, not of each
    micro-batch, so that accumulation does not change the loss.

    Parameters
    ----------
    logits
        *Shape:* (B, L), any floating dtype.
    targets
        *Shape:* (B, L), float32: 0, 1 or NaN (unknown, counts nothing).

    Returns
    -------
    (sum, weight)
        Two float32 scalars: the summed loss and the number of known cells.
    """
    known = ~torch.isnan(targets)
    cells = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), torch.nan_to_num(targets), reduction="none"
    )
    return (cells * known).sum(), known.sum().float()
