"""Logits of windows to logits of texts while training, so that the loss of a text reaches all its windows.

`decision.window_pooling` says what each pooling is, and computes the same from finished logits.

Letters: `N` texts, `W` windows of all texts together, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from multihot.core.labels import LabelSpace
from multihot.core.windows import WindowSettings

__all__ = ["WindowMap", "WindowPooling"]

_SHARPNESS = 1.0  # before training


@dataclass(frozen=True)
class WindowMap:
    """Which window belongs to which of N texts."""

    text: Tensor
    """Number of the text of each window, ascending. *Shape:* (W,), int64."""
    num_texts: int


class WindowPooling(nn.Module):
    """Pools per label; only `attention` has weights of its own."""

    def __init__(self, settings: WindowSettings, space: LabelSpace) -> None:
        super().__init__()
        self._settings = settings
        self.space = space
        self.sharpness: nn.Parameter | None = None
        if settings.pooling == "attention":
            known = settings.sharpness or dict.fromkeys(space.names, _SHARPNESS)
            self.sharpness = nn.Parameter(torch.tensor([known[name] for name in space.names]))

    def settings(self) -> WindowSettings:
        """Return the settings with the weights as they are now."""
        if self.sharpness is None:
            return self._settings
        values = self.sharpness.detach().cpu().tolist()
        return replace(self._settings, sharpness=dict(zip(self.space.names, values, strict=True)))

    def forward(self, logits: Tensor, windows: WindowMap) -> Tensor:
        """Return the logits of the texts. *Shapes:* (W, L) -> (N, L), float32."""
        values, pooling = logits.float(), self._settings.pooling
        if pooling == "max":
            return _most(values, windows)
        if pooling == "mean":
            return _sum(values, windows) / _sum(torch.ones_like(values[:, :1]), windows)
        if pooling == "log_sum_exp":
            most = _most(values.detach(), windows)
            return most + _sum(torch.exp(values - most[windows.text]), windows).log()
        assert self.sharpness is not None
        scaled = values * self.sharpness
        most = _most(scaled.detach(), windows)
        weights = torch.exp(scaled - most[windows.text])
        return _sum(weights * values, windows) / _sum(weights, windows)


def _sum(values: Tensor, windows: WindowMap) -> Tensor:
    empty = values.new_zeros(windows.num_texts, values.shape[1])
    return empty.index_add(0, windows.text, values)


def _most(values: Tensor, windows: WindowMap) -> Tensor:
    empty = values.new_zeros(windows.num_texts, values.shape[1])
    index = windows.text[:, None].expand_as(values)
    return empty.scatter_reduce(0, index, values, "amax", include_self=False)
