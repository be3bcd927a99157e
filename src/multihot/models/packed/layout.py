"""Where the tokens of several texts lie in one row without padding.

Letters: `B` texts, `S` tokens of the longest, `T` tokens of all together, `F` the same with the
filler, `D` width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["PACKING", "Packing", "lay_out"]

PACKING = "packing"
"""Keyword argument that carries the layout through an encoder to all of its layers."""

_SHRINK = (
    0.7  # the longest text of a group has at most this fraction of the longest of the group before
)
_MOST_GROUPS = 5  # the shortest texts form the last; more groups cost more than their padding
_FINENESS = 16  # the row grows by at most one part in so many, so that few lengths of it occur


@dataclass(frozen=True)
class Group:
    """Texts of similar length, which are padded together.

    Attributes
    ----------
    num_texts
        B.
    longest
        S.
    mask
        *Shape:* (B, 1, 1, S), bool, True = token; `None` when all texts are equally long.
    """

    num_texts: int
    longest: int
    mask: Tensor | None
    _window_masks: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _hidden_keys: dict[int | None, Tensor | None] = field(default_factory=dict, repr=False)

    def key_mask(self, window: int | None, device: torch.device) -> Tensor | None:
        """Return which keys a query may see; `None` when all of them.

        *Shape:* (1 or B, 1, 1 or S, S), bool. `window` is the largest distance between a query and
        its keys; `None` is no limit. Made once for all layers.
        """
        if window is None or window >= self.longest - 1:
            return self.mask
        if window not in self._window_masks:
            positions = torch.arange(self.longest, device=device)
            distance = (positions[:, None] - positions[None, :]).abs()
            seen = (distance <= window)[None, None]
            if self.mask is not None:
                # A padding query may be left without keys; its output is dropped but must be finite.
                seen = (seen & self.mask) | (distance == 0)
            self._window_masks[window] = seen
        return self._window_masks[window]

    def hidden_keys(self, window: int | None, device: torch.device) -> Tensor | None:
        """Return which keys a query may not see: the opposite of `key_mask`, made once."""
        if window not in self._hidden_keys:
            mask = self.key_mask(window, device)
            self._hidden_keys[window] = None if mask is None else ~mask
        return self._hidden_keys[window]


@dataclass(frozen=True)
class Packing:
    """The layout of one batch, computed once and read by every layer.

    On a CPU the row is made a little longer by a filler text that no head reads: oneDNN
    generates code for every new shape of a matrix, which takes as long as the product of a small
    batch, so the number of tokens is rounded up to one of a few. `F` counts the filler in.

    Attributes
    ----------
    cu_seq_lens
        *Shape:* (B + 1,), int32. Text `n` is `tokens[cu_seq_lens[n]:cu_seq_lens[n + 1]]`.
    firsts
        *Shape:* (B,), int64. First token of each text ([CLS] in most families).
    positions
        *Shape:* (T,), int64. Position of each token in its own text, from 0.
    rows
        *Shape:* (T,), int64. Text of each token.
    num_filler
        F - T: tokens of the filler text, which follows the last text in the encoder's row.
    attention_ends
        *Shape:* (B + 1,) or, with a filler, (B + 2,), int32. `cu_seq_lens` of the encoder's row.
    slots
        *Shape:* (F,), int64. Index of each token among the P slots of the padded form.
    tokens
        *Shape:* (P,), int64. Token of each slot; padding repeats the last token of its own
        text, so that nothing of one text, not even a NaN, reaches another.
    groups
        The texts by length, longest first; their slots follow each other in `tokens`.
    longest
        Tokens of the longest text.
    read
        *Shape:* (R,), int64. The only tokens whose vectors the head reads; `None` = all of them.
        See `models.packed.encoder`.
    on_attention
        Called by every attention layer; lets a check count them.
    """

    cu_seq_lens: Tensor
    firsts: Tensor
    positions: Tensor
    rows: Tensor
    num_filler: int
    attention_ends: Tensor
    slots: Tensor
    tokens: Tensor
    groups: tuple[Group, ...]
    longest: int
    read: Tensor | None = None
    on_attention: Callable[[], None] | None = None

    def fill_up(self, values: Tensor) -> Tensor:
        """Append the filler's own values: those of the first tokens. *Shapes:* (T,) -> (F,)."""
        return torch.cat([values, values[: self.num_filler]]) if self.num_filler else values

    def group_slots(self) -> Iterator[tuple[Group, slice]]:
        """Yield each group and its part of the P slots."""
        end = 0
        for group in self.groups:
            begin, end = end, end + group.num_texts * group.longest
            yield group, slice(begin, end)

    def pad(self, packed: Tensor) -> tuple[Tensor, ...]:
        """Gather into the padded form. *Shapes:* (F, D) -> (B, S, D) for every group."""
        padded: Tensor = _Pad.apply(packed, self.tokens, self.slots)  # type: ignore[no-untyped-call]
        pieces = torch.split(padded, [group.num_texts * group.longest for group in self.groups])
        return tuple(
            piece.view(group.num_texts, group.longest, -1)
            for piece, group in zip(pieces, self.groups, strict=True)
        )

    def unpad(self, padded: Sequence[Tensor]) -> Tensor:
        """Drop the padding. *Shapes:* (B, S, D) for every group -> (F, D)."""
        return torch.cat([piece.flatten(0, 1) for piece in padded]).index_select(0, self.slots)


class _Pad(torch.autograd.Function):
    """A gather whose gradient is a gather too: padding slots receive none, so nothing is summed."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, tokens: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return packed.index_select(0, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        return gradients[0].index_select(0, slots), None, None


def lay_out(cu_seq_lens: npt.NDArray[np.int64], device: torch.device) -> Packing:
    """Return the layout of B texts of at least one token each.

    Parameters
    ----------
    cu_seq_lens
        *Shape:* (B + 1,), int64. Where each text starts; the last is T.
    device
        Where its tensors go.
    """
    if len(cu_seq_lens) < 2 or np.diff(cu_seq_lens).min() < 1:
        raise ValueError("A packed batch needs texts of at least one token each.")
    num_texts, num_tokens = len(cu_seq_lens) - 1, int(cu_seq_lens[-1])
    num_filler = _num_filler(num_tokens) if device.type == "cpu" else 0
    ends = np.append(cu_seq_lens, num_tokens + num_filler) if num_filler else cu_seq_lens
    lengths, starts = np.diff(ends), ends[:-1]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(ends[-1]) - starts[rows]
    order = np.argsort(-lengths, kind="stable")
    # A GPU has time for padding but not for many small kernels.
    cuts = _cuts(lengths[order]) if device.type == "cpu" else [0, len(order)]
    first_slots, tokens, groups = np.zeros_like(starts), [], []
    num_slots = 0
    for begin, end in itertools.pairwise(cuts):
        texts = order[begin:end]
        longest = int(lengths[texts[0]])
        columns, last = np.arange(longest), lengths[texts, None] - 1
        first_slots[texts] = num_slots + longest * np.arange(len(texts))
        num_slots += longest * len(texts)
        tokens.append((starts[texts, None] + np.minimum(columns, last)).ravel())
        mask = torch.from_numpy(columns <= last)[:, None, None, :].to(device)
        groups.append(Group(len(texts), longest, None if last[-1] == last[0] else mask))

    def to_device(array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Packing(
        cu_seq_lens=to_device(cu_seq_lens).to(torch.int32),
        firsts=to_device(starts[:num_texts]),
        positions=to_device(positions[:num_tokens]),
        rows=to_device(rows[:num_tokens]),
        num_filler=num_filler,
        attention_ends=to_device(ends).to(torch.int32),
        slots=to_device(first_slots[rows] + positions),
        tokens=to_device(np.concatenate(tokens)),
        groups=tuple(groups),
        longest=groups[0].longest,
    )


def _num_filler(num_tokens: int) -> int:
    """Return the tokens to a multiple of the largest power of two within a fraction of the row."""
    step = 1 << (max(1, num_tokens // _FINENESS).bit_length() - 1)
    return -num_tokens % step


def _cuts(lengths: npt.NDArray[np.int64]) -> list[int]:
    """Return where lengths, longest first, are cut into groups; 0 and their number included."""
    limits = lengths[0] * _SHRINK ** np.arange(1, _MOST_GROUPS)
    cuts = np.searchsorted(-lengths, -limits, side="right")
    return [int(cut) for cut in np.unique([0, *cuts, len(lengths)])]
