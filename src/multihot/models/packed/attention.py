"""Attention among the tokens of each text of a packed row.

Letters: `B` texts, `S` tokens of the longest, `F` tokens of the row, `H` heads, `D` width of one,
`P` slots of the padded form.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multihot.models.cpu.dropout import kept_places
from multihot.models.packed.layout import Group, Packing

__all__ = ["packed_attention"]

_FEW_SLOTS = 400  # products of fewer end in float32 before oneDNN has made code for half precision


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
    percent of the work for short texts.

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
    if dropout == 0.0 and _flash_attends(query):
        return _flash_attention(query, key, value, packing, window=window, scale=scale)
    if query.device.type == "cpu" and torch.is_grad_enabled():
        attended: Tensor = _TrainedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, packing, window, dropout, scale
        )
        return attended
    return _gathered_attention(
        query, key, value, packing, window=window, dropout=dropout, scale=scale
    )


def _gathered_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    window: int | None,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """Attend within padded rows by torch's own function. *Shapes:* (F, H, D) -> (F, H, D)."""
    queries, keys, values = (packing.pad(rows.flatten(1)) for rows in (query, key, value))
    attended = []
    for number, group in enumerate(packing.groups):
        q, k, v = (
            padded[number].view(*padded[number].shape[:2], *query.shape[1:]).transpose(1, 2)
            for padded in (queries, keys, values)
        )
        mask = group.key_mask(window, query.device)
        heads = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale
        )
        attended.append(heads.transpose(1, 2).flatten(2))
    return packing.unpad(attended).view(query.shape)


class _TrainedAttention(torch.autograd.Function):
    """The same on a processor with a gradient, written out.

    A small batch is over before torch has recorded the forty small operations of a layer, and its
    own attention with dropout takes a slow way. With softmax weights `A`, the mask of dropout `M`
    and `O = (A * M) V`: `dV = (A * M)' dO`, `dA = (dO V') * M`, `dS = A * (dA - sum(dA * A))`,
    `dQ = s dS K`, `dK = s dS' Q` (Dao et al. 2022, appendix B.2, without tiling).
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd hands everything on by position
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        packing: Packing,
        window: int | None,
        dropout: float,
        scale: float | None,
    ) -> Tensor:
        num_heads, width = query.shape[1:]
        scale = width**-0.5 if scale is None else scale
        result = query.new_empty(len(packing.tokens), num_heads, width)
        padded = [rows.index_select(0, packing.tokens) for rows in (query, key, value)]
        kept = []
        with torch.autocast("cpu", enabled=False):
            for group, slots in packing.group_slots():
                q, k, v = (_heads(rows[slots], group) for rows in padded)
                scores = torch.bmm(q.mul_(scale), k.mT)
                if (hidden := group.hidden_keys(window, query.device)) is not None:
                    scores.view(-1, num_heads, *scores.shape[1:]).masked_fill_(hidden, -torch.inf)
                weights = torch.softmax(scores, dim=-1)
                mask = kept_places(weights, dropout) if dropout > 0 else None
                used = weights if mask is None else weights * mask
                _put(torch.bmm(used, v), result[slots], group, 1 / (1 - dropout))
                kept += [q, k, v, weights, mask]
        ctx.save_for_backward(*kept)
        ctx.packing, ctx.dropout, ctx.scale = packing, dropout, scale
        return result.index_select(0, packing.slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        packing: Packing = ctx.packing
        gradient, kept = gradients[0], list(ctx.saved_tensors)
        shape = len(packing.tokens), *gradient.shape[1:]
        padded = gradient.new_zeros(shape).index_copy_(0, packing.slots, gradient)
        found = [gradient.new_empty(shape) for _ in range(3)]
        grown = 1 / (1 - ctx.dropout)
        with torch.autocast("cpu", enabled=False):
            for number, (group, slots) in enumerate(packing.group_slots()):
                q, k, v, weights, mask = kept[5 * number : 5 * number + 5]
                of_output = _heads(padded[slots], group).mul_(grown)
                used = weights if mask is None else weights * mask
                of_weights = torch.bmm(of_output, v.mT)
                if mask is not None:
                    of_weights.mul_(mask)
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                _put(torch.bmm(of_scores, k), found[0][slots], group, ctx.scale)
                _put(torch.bmm(of_scores.mT, q), found[1][slots], group, 1.0)
                _put(torch.bmm(used.mT, of_output), found[2][slots], group, 1.0)
        rows = (of_padded.index_select(0, packing.slots) for of_padded in found)
        return (*rows, None, None, None, None)


def _heads(padded: Tensor, group: Group) -> Tensor:
    """Copy the slots of a group for its products. *Shapes:* (B S, H, D) -> (B H, S, D)."""
    _, num_heads, width = padded.shape
    few = group.num_texts * group.longest <= _FEW_SLOTS
    dtype = torch.float32 if few else padded.dtype
    heads = torch.empty(group.num_texts, num_heads, group.longest, width, dtype=dtype)
    heads.copy_(padded.view(group.num_texts, group.longest, num_heads, width).transpose(1, 2))
    return heads.view(-1, group.longest, width)


def _put(heads: Tensor, padded: Tensor, group: Group, factor: float) -> None:
    """Write heads back into their slots. *Shapes:* (B H, S, D) -> (B S, H, D)."""
    if factor != 1.0:
        heads.mul_(factor)
    _, num_heads, width = padded.shape
    places = padded.view(group.num_texts, group.longest, num_heads, width).transpose(1, 2)
    places.copy_(heads.view(places.shape))


def _flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    window: int | None,
    scale: float | None,
) -> Tensor:
    """Attend without any padding. *Shapes:* (F, H, D) -> (F, H, D)."""
    from torch.nn.attention.varlen import varlen_attn

    reach = -1 if window is None else window  # -1 is no limit
    ends, longest = packing.attention_ends, packing.longest
    attended = varlen_attn(
        query, key, value, ends, ends, longest, longest, scale=scale, window_size=(reach, reach)
    )
    assert isinstance(attended, Tensor)  # a pair only when more is asked for
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
