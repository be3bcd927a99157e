"""Attention among the tokens of each text of a packed row.

Letters: `B` texts, `S` tokens of the longest, `F` tokens of the row, `H` heads, `D` width of one,
`P` slots of the padded form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multihot.models.cpu.dropout import fast_dropout, keep_mask
from multihot.models.cpu.self_test import KernelComparison, kernel_failure
from multihot.models.packed.layout import Group, Packing, lay_out

__all__ = ["attention_failure", "packed_attention"]

_FEW_SLOTS = 400  # products of fewer end in float32 before oneDNN has made code for half precision


@dataclass(frozen=True)
class _Settings:
    """The numbers of one attention; see `packed_attention`."""

    window: int | None
    dropout: float
    scale: float


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    window: int | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Let the tokens of every text attend to those of the same text.

    On CUDA, with half precision and without attention dropout, flash attention takes the row as it
    is (`torch.nn.attention.varlen`). Everywhere else the heads are gathered into a padded tensor
    and the result is scattered back; all that is wasted is attention itself on padding, a few
    percent of the work for short texts. On a CPU the gradient is written out, unless it fails its
    self-test (`attention_failure`).

    Parameters
    ----------
    query, key, value
        *Shape:* (F, H, D).
    packing
        Where the texts lie.
    window
        Largest distance between a token and those it attends to; `None` = no limit.
    dropout
        Probability of dropping an attention weight. Flash attention's variable-length form has
        none, so a positive one takes the padded way on CUDA too.
    scale
        Factor of the scores; default 1 / sqrt(D).

    Returns
    -------
    Tensor
        *Shape:* (F, H, D).
    """
    settings = _Settings(window, dropout, query.shape[-1] ** -0.5 if scale is None else scale)
    if dropout == 0.0 and _flash_attends(query):
        return _flash_attention(query, key, value, packing, settings)
    if (
        query.device.type == "cpu"
        and torch.is_grad_enabled()
        and attention_failure(query.dtype) is None
    ):
        attended: Tensor = _TrainedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, packing, settings
        )
        return attended
    return _gathered_attention(query, key, value, packing, settings)


def _gathered_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, settings: _Settings
) -> Tensor:
    """Attend within padded rows by torch's own operators. *Shapes:* (F, H, D) -> (F, H, D)."""
    padded = [packing.pad(rows.flatten(1)) for rows in (query, key, value)]
    attended = []
    for group, *pieces in zip(packing.groups, *padded, strict=True):
        q, k, v = (
            piece.view(*piece.shape[:2], *query.shape[1:]).transpose(1, 2) for piece in pieces
        )
        mask = group.key_mask(settings.window, query.device)
        heads = _attend(q, k, v, mask, settings)
        attended.append(heads.transpose(1, 2).flatten(2))
    return packing.unpad(attended).view(query.shape)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, settings: _Settings) -> Tensor:
    """Attend to the keys that `mask` leaves. *Shapes:* (B, H, S, D) -> (B, H, S, D)."""
    dropout, scale = settings.dropout, settings.scale
    if dropout == 0.0 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale
        )
    scores = q @ k.mT * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return fast_dropout(scores.softmax(dim=-1), dropout) @ v


class _TrainedAttention(torch.autograd.Function):
    """The same on a CPU with a gradient, written out.

    A small batch is over before torch has recorded the forty small operations of a layer, and its
    own attention with dropout takes a slow way. With softmax weights `A`, the mask of dropout `M`
    and `O = (A * M) V`: `dV = (A * M)' dO`, `dA = (dO V') * M`, `dS = A * (dA - sum(dA * A))`,
    `dQ = s dS K`, `dK = s dS' Q` (Dao et al. 2022, appendix B.2, without tiling).
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes its arguments by position
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, packing: Packing, settings: _Settings
    ) -> Tensor:
        num_heads, width = query.shape[1:]
        dropout = settings.dropout
        result = query.new_empty(len(packing.tokens), num_heads, width)
        padded = [rows.index_select(0, packing.tokens) for rows in (query, key, value)]
        saved = []
        with torch.autocast("cpu", enabled=False):
            for group, slots in packing.group_slots():
                q, k, v = (_heads(rows[slots], group) for rows in padded)
                scores = torch.bmm(q.mul_(settings.scale), k.mT)
                hidden = group.hidden_keys(settings.window, query.device)
                if hidden is not None:
                    scores.view(-1, num_heads, *scores.shape[1:]).masked_fill_(hidden, -torch.inf)
                weights = torch.softmax(scores, dim=-1)
                mask = keep_mask(weights, dropout) if dropout > 0 else None
                used = weights if mask is None else weights * mask
                _write_slots(torch.bmm(used, v), result[slots], group, 1 / (1 - dropout))
                saved += [q, k, v, weights, mask]
        ctx.save_for_backward(*saved)
        ctx.packing, ctx.settings = packing, settings
        return result.index_select(0, packing.slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        packing: Packing = ctx.packing
        settings: _Settings = ctx.settings
        gradient, saved = gradients[0], list(ctx.saved_tensors)
        shape = len(packing.tokens), *gradient.shape[1:]
        padded = gradient.new_zeros(shape).index_copy_(0, packing.slots, gradient)
        of_query, of_key, of_value = (gradient.new_empty(shape) for _ in range(3))
        grown = 1 / (1 - settings.dropout)
        with torch.autocast("cpu", enabled=False):
            for number, (group, slots) in enumerate(packing.group_slots()):
                q, k, v, weights, mask = saved[5 * number : 5 * number + 5]
                of_output = _heads(padded[slots], group).mul_(grown)
                used = weights if mask is None else weights * mask
                of_weights = torch.bmm(of_output, v.mT)
                if mask is not None:
                    of_weights.mul_(mask)
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                _write_slots(torch.bmm(of_scores, k), of_query[slots], group, settings.scale)
                _write_slots(torch.bmm(of_scores.mT, q), of_key[slots], group, 1.0)
                _write_slots(torch.bmm(used.mT, of_output), of_value[slots], group, 1.0)
        rows = (padded.index_select(0, packing.slots) for padded in (of_query, of_key, of_value))
        return (*rows, None, None)


@functools.cache
def attention_failure(dtype: torch.dtype) -> str | None:
    """Return why the written-out gradient cannot be used in this precision; `None` when it can.

    Both forms attend in texts of 3, 210 and 210 tokens, with and without window and dropout.
    """
    return kernel_failure(lambda: _comparisons(dtype), dtype)


def _comparisons(dtype: torch.dtype) -> Iterator[KernelComparison]:
    packing = lay_out(np.array([0, 3, 213, 423]), torch.device("cpu"))
    rows = [torch.randn(len(packing.slots), 2, 8).to(dtype) for _ in range(3)]
    factors = torch.randn(rows[0].shape)
    forms: tuple[tuple[Callable[..., Tensor], torch.dtype], ...] = (
        (_TrainedAttention.apply, dtype),
        (_gathered_attention, torch.float32),
    )
    for settings in (_Settings(None, 0.0, 0.5), _Settings(2, 0.0, 0.5), _Settings(None, 0.5, 0.5)):
        results = []
        state = torch.get_rng_state()
        for attend, precision in forms:
            torch.set_rng_state(state)  # the same weights are dropped in both
            heads = [values.to(precision).requires_grad_() for values in rows]
            attended = attend(*heads, packing, settings)
            results.append((attended, *torch.autograd.grad((attended * factors).sum(), heads)))
        names = ("output", "gradient of queries", "gradient of keys", "gradient of values")
        yield from zip(names, *results, strict=True)


def _heads(padded: Tensor, group: Group) -> Tensor:
    """Copy the slots of a group for its products. *Shapes:* (B S, H, D) -> (B H, S, D)."""
    _, num_heads, width = padded.shape
    few = group.num_texts * group.longest <= _FEW_SLOTS
    dtype = torch.float32 if few else padded.dtype
    heads = torch.empty(group.num_texts, num_heads, group.longest, width, dtype=dtype)
    heads.copy_(padded.view(group.num_texts, group.longest, num_heads, width).transpose(1, 2))
    return heads.view(-1, group.longest, width)


def _write_slots(heads: Tensor, padded: Tensor, group: Group, factor: float) -> None:
    """Write heads back into their slots. *Shapes:* (B H, S, D) -> (B S, H, D)."""
    if factor != 1.0:
        heads.mul_(factor)
    _, num_heads, width = padded.shape
    slots = padded.view(group.num_texts, group.longest, num_heads, width).transpose(1, 2)
    slots.copy_(heads.view(slots.shape))


def _flash_attention(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, settings: _Settings
) -> Tensor:
    """Attend without any padding. *Shapes:* (F, H, D) -> (F, H, D)."""
    from torch.nn.attention.varlen import varlen_attn

    reach = -1 if settings.window is None else settings.window  # -1 is no limit
    ends, longest = packing.attention_ends, packing.longest
    attended = varlen_attn(
        *(query, key, value, ends, ends, longest, longest),
        scale=settings.scale,
        window_size=(reach, reach),
    )
    assert isinstance(attended, Tensor)  # a pair only when more is requested
    return attended


def _flash_attends(query: Tensor) -> bool:
    """Return whether flash attention computes these heads: half precision, Ampere or later."""
    head_width = query.shape[-1]
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and head_width % 8 == 0
        and head_width <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )
