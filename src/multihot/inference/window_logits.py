"""Logits of texts from those of their windows, for any backend.

Letters: `N` texts, `W` windows of all texts together, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.windows import WindowSettings
from multihot.data.tokens import TokenizedTexts
from multihot.decision.window_pooling import pool_windows

__all__ = ["pooled_logits"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
_CELLS_AT_ONCE = 1 << 26  # logits of windows in memory, whatever N is


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
    windows, texts = tokenized.windows, tokenized.by_window()
    assert windows is not None
    assert settings is not None
    ends = np.cumsum(windows.counts[indices])
    most = max(1, _CELLS_AT_ONCE // max(1, len(names)))
    found, start = [np.zeros((0, len(names)), np.float32)], 0
    while start < len(indices):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        places, first = windows.of_texts(indices[start:end])
        found.append(pool_windows(compute(texts, places), first, settings, names))
        start = end
    return np.concatenate(found)
