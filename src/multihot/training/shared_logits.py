"""The logits of rows, to which each process of a run contributes its batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.data.tokens import TokenizedTexts
from multihot.inference.torch_backend import TorchBackend
from multihot.training.ranks import Ranks

__all__ = ["shared_logits"]


def shared_logits(
    backend: TorchBackend, tokens: TokenizedTexts, indices: npt.NDArray[np.int64], ranks: Ranks
) -> npt.NDArray[np.float32]:
    """Return the logits of rows, bit for bit those of one process. *Shape:* (N, L)."""
    if ranks.count == 1:
        return backend.logits(tokens, indices)
    return backend.shared_logits(
        tokens, indices, rank=ranks.rank, count=ranks.count, summed=ranks.sum_array
    )
