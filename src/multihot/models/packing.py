"""Where the tokens of several texts lie in one row without padding.

Letters: `B` texts, `S` tokens of the longest, `T` tokens of all together, `D` width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Packing", "lay_out"]


@dataclass(frozen=True)
class Packing:
    """The layout of one batch, computed once and read by every layer.

    Attributes
    ----------
    cu_seq_lens
        *Shape:* (B + 1,), int32. Text `n` is `tokens[cu_seq_lens[n]:cu_seq_lens[n + 1]]`.
    firsts
        *Shape:* (B,), int64. First token of each text ([CLS] in most families).
    positions
        *Shape:* (T,), int64. Place of each token in its own text, from 0.
    rows
        *Shape:* (T,), int64. Text of each token.
    slots
        *Shape:* (T,), int64. Place of each token among the B * S slots of the padded form.
    tokens
        *Shape:* (B * S,), int64. Token of each slot; padding repeats the last token of its own
        text, so that nothing of one text, not even a NaN, reaches another.
    mask
        *Shape:* (B, 1, 1, S), bool, True = token; `None` when all texts are equally long.
    longest
        S.
    on_attention
        Called by every attention layer; lets a check count them.
    """

    cu_seq_lens: Tensor
    firsts: Tensor
    positions: Tensor
    rows: Tensor
    slots: Tensor
    tokens: Tensor
    mask: Tensor | None
    longest: int
    on_attention: Callable[[], None] | None = None
    _window_masks: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def pad(self, packed: Tensor) -> Tensor:
        """Gather into the padded form. *Shapes:* (T, D) -> (B, S, D)."""
        padded: Tensor = _Pad.apply(packed, self.tokens, self.slots)  # type: ignore[no-untyped-call]
        return padded.view(len(self.firsts), self.longest, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """Drop the padding. *Shapes:* (B, S, D) -> (T, D)."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def key_mask(self, window: int | None) -> Tensor | None:
        """Return which keys a query may see: (1 or B, 1, 1 or S, S), bool; `None` when all of them.

        `window` is the largest distance between a query and its keys; `None` is no limit.
        """
        if window is None or window >= self.longest - 1:
            return self.mask
        if window not in self._window_masks:
            places = torch.arange(self.longest, device=self.slots.device)
            distance = (places[:, None] - places[None, :]).abs()
            seen = (distance <= window)[None, None]
            if self.mask is not None:
                # A padding query may be left without keys; its output is dropped but must be finite.
                seen = (seen & self.mask) | (distance == 0)
            self._window_masks[window] = seen
        return self._window_masks[window]


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
    lengths = np.diff(cu_seq_lens)
    if len(lengths) == 0 or lengths.min() < 1:
        raise ValueError("A packed batch needs texts of at least one token each.")
    starts, longest = cu_seq_lens[:-1], int(lengths.max())
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(cu_seq_lens[-1]) - starts[rows]
    places = np.arange(longest)
    tokens = starts[:, None] + np.minimum(places[None, :], lengths[:, None] - 1)
    mask = None
    if lengths.min() < longest:
        mask = torch.from_numpy(places[None, :] < lengths[:, None])[:, None, None, :].to(device)

    def moved(array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Packing(
        cu_seq_lens=moved(cu_seq_lens).to(torch.int32),
        firsts=moved(starts),
        positions=moved(positions),
        rows=moved(rows),
        slots=moved(rows * longest + positions),
        tokens=moved(tokens.ravel()),
        mask=mask,
        longest=longest,
    )
