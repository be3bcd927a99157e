"""Logits of texts from those of their windows, for any backend.

Letters: `N` texts, `W` windows of all texts together, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.windows import WindowSettings
from multihot.data.tokens import TokenizedTexts
from multihot.decision.window_pooling import loudest_windows, pool_windows

__all__ = ["WindowsRead", "loudest_and_pooled", "pooled_logits"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
_CELLS_AT_ONCE = 1 << 26  # logits of windows in memory, whatever N is


@dataclass(frozen=True)
class WindowsRead:
    """Where the windows of one text are, and which of them spoke for its labels."""

    spans: list[tuple[int, int]]
    """First and last-plus-one character of each window in the text."""
    loudest: dict[str, int]
    """For each label that is given, the window with its highest logit, from 0."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the keys as in `multihot predict --json`."""
        return {"spans": [list(span) for span in self.spans], "loudest": self.loudest}


def pooled_logits(
    compute: Callable[[TokenizedTexts, IntArray], FloatArray],
    tokenized: TokenizedTexts,
    indices: IntArray,
    settings: WindowSettings | None,
    names: Sequence[str],
) -> FloatArray:
    """Return the logits of the given N texts, some of which have several windows. *Shape:* (N, L).

    `compute` takes texts that are read at once, and which of them, and returns logits in that order.
    """
    return loudest_and_pooled(compute, tokenized, indices, settings, names)[1]


def loudest_and_pooled(
    compute: Callable[[TokenizedTexts, IntArray], FloatArray],
    tokenized: TokenizedTexts,
    indices: IntArray,
    settings: WindowSettings | None,
    names: Sequence[str],
) -> tuple[IntArray, FloatArray]:
    """Return which window of each text has the highest logit of each label, and the logits of the texts.

    As `pooled_logits`. *Shapes:* (N, L) both.
    """
    windows, texts = tokenized.windows, tokenized.by_window()
    assert windows is not None
    assert settings is not None
    ends = np.cumsum(windows.counts[indices])
    most = max(1, _CELLS_AT_ONCE // max(1, len(names)))
    found, start = [np.zeros((0, len(names)), np.float32)], 0
    loudest = [np.zeros((0, len(names)), np.int64)]
    while start < len(indices):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        places, first = windows.of_texts(indices[start:end])
        each = compute(texts, places)
        found.append(pool_windows(each, first, settings, names))
        loudest.append(loudest_windows(each, first))
        start = end
    return np.concatenate(loudest), np.concatenate(found)
