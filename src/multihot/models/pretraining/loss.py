"""Losses of pretraining: predict masked tokens, and classify next sentences against random ones.

As in Devlin et al. 2018, A.2: the training loss is the mean over masked tokens (MLM) plus the mean
over pairs (NSP). Both are returned as sums with their counts, so that a step which is computed in
parts has the loss of the whole step; see `step_loss`.

Letters: `M` masked tokens, `V` vocabulary, `D` width of the decoder's input, `B` pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["LossParts", "next_sentence_loss", "step_loss", "vocabulary_loss"]

_CPU_VALUES = 2**18  # logits that one pass handles; 1 MB of float32 stays in a core's cache
_CUDA_VALUES = 2**26  # a GPU needs few large kernels; 256 MB of float32 is what it may take


@dataclass(frozen=True)
class LossParts:
    """The losses of some pairs, not yet divided by anything.

    Attributes
    ----------
    mlm
        Cross-entropy in nats, summed over the masked tokens. A float32 scalar.
    num_masked
        M.
    nsp
        Cross-entropy in nats, summed over the pairs; `None` without a next-sentence head.
    num_pairs
        B.
    """

    mlm: Tensor
    num_masked: int
    nsp: Tensor | None
    num_pairs: int


def step_loss(
    parts: LossParts, *, masked_in_step: int, pairs_in_step: int
) -> tuple[Tensor, Tensor]:
    """Return the loss of one micro-batch in the form the loop takes: (sum, weight).

    MLM and NSP have different counts, so no single count can divide their sum. Each is divided here
    by the count of the *whole* step, which is known before the step since masks are drawn with the
    batches; the weight is the micro-batch's fraction of the pairs. The weights of a step add up to 1,
    so the loop's division changes nothing, and however a step is cut, its loss is
    `sum(mlm) / masked_in_step + sum(nsp) / pairs_in_step`.

    Parameters
    ----------
    parts
        Losses of the micro-batch.
    masked_in_step, pairs_in_step
        Counts over all micro-batches of the optimiser step.
    """
    total = parts.mlm / max(1, masked_in_step)
    if parts.nsp is not None:
        total = total + parts.nsp / pairs_in_step
    return total, torch.tensor(parts.num_pairs / pairs_in_step)


def next_sentence_loss(logits: Tensor, is_random: Tensor) -> Tensor:
    """Sum the cross-entropy over pairs, in float32.

    Parameters
    ----------
    logits
        *Shape:* (B, 2). Column 0: the second text follows the first; column 1: it is a random one.
    is_random
        *Shape:* (B,), int64: 0 or 1.
    """
    return F.cross_entropy(logits.float(), is_random, reduction="sum")


def vocabulary_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Sum the cross-entropy of a linear layer over the vocabulary, in float32.

    The same as `F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, reduction="sum")`,
    but the softmax is taken piece by piece in the cache, and its gradient replaces the
    logits while they are there. That needs a fraction of the memory, and on a CPU with bf16
    it saves a third of the head's time. Under autocast the products are in its dtype, everything
    else in float32.

    Parameters
    ----------
    hidden
        *Shape:* (M, D).
    weight
        *Shape:* (V, D).
    bias
        *Shape:* (V,), or `None`.
    labels
        *Shape:* (M,), int64, 0 to V - 1.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    total: Tensor = _VocabularyLoss.apply(hidden, weight, bias, labels, dtype)  # type: ignore[no-untyped-call]
    return total


class _VocabularyLoss(torch.autograd.Function):
    """Keeps softmax minus one-hot, (M, V) in the dtype of the products, for the way back."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes its arguments by position
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        inputs, table = hidden.to(dtype), weight.to(dtype)
        logits = F.linear(inputs, table, None if bias is None else bias.to(dtype))
        needs_gradient = any(ctx.needs_input_grad)
        values = _CPU_VALUES if logits.device.type == "cpu" else _CUDA_VALUES
        rows = max(1, values // logits.shape[1])
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        pieces = zip(torch.split(logits, rows), torch.split(labels, rows), strict=True)
        for piece, truth in pieces:
            log_probabilities = torch.log_softmax(piece.float(), dim=1)
            total -= log_probabilities.gather(1, truth[:, None]).sum()
            if needs_gradient:
                gradient = log_probabilities.exp_()
                minus_one = torch.full_like(truth[:, None], -1, dtype=torch.float32)
                piece.copy_(gradient.scatter_add_(1, truth[:, None], minus_one))
        if needs_gradient:
            ctx.save_for_backward(logits, inputs, table)
            ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logit_gradients, inputs, table = ctx.saved_tensors
        hidden_dtype, weight_dtype, bias_dtype = ctx.dtypes
        (scale,) = gradients
        of_bias = None
        if bias_dtype is not None:
            ones = logit_gradients.new_ones(len(logit_gradients))
            of_bias = (logit_gradients.mT @ ones).to(bias_dtype) * scale
        return (
            (logit_gradients @ table).to(hidden_dtype) * scale,
            (logit_gradients.mT @ inputs).to(weight_dtype).mul_(scale),
            of_bias,
            None,
            None,
        )
