"""Logits of the windows of texts to logits of the texts, label by label.

* `max`: that of the window that speaks loudest.
* `mean`: the mean over all windows.
* `log_sum_exp`: the logarithm of the sum of their exponentials, a smooth `max` that several windows
  raise together.
* `attention`: a weighted mean. A label weighs its windows by the softmax of their logits times its
  sharpness, which is learnt: 0 is `mean`, and the larger it is, the nearer to `max` ("auto-pool",
  McFee, Salamon and Bello 2018).

A text of one window keeps its logits bit for bit. Everything is computed from logits alone, so that
any backend can be asked for them. `models.window_pooling` computes the same for training.

Letters: `N` texts, `W` windows of all texts together, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from multihot.core.windows import WindowSettings

__all__ = ["loudest_windows", "pool_windows"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def pool_windows(
    logits: FloatArray, first: IntArray, settings: WindowSettings, names: Sequence[str]
) -> FloatArray:
    """Return the logits of N texts. *Shape:* (N, L), float32.

    Parameters
    ----------
    logits
        Of all windows, those of a text side by side. *Shape:* (W, L).
    first
        Text `n` has the windows from `first[n]` up to, not including, `first[n + 1]`, at least one.
        *Shape:* (N + 1,).
    settings
        Its `pooling`, and of `attention` the sharpness.
    names
        The L labels.
    """
    starts, counts = first[:-1], np.diff(first)
    single = logits[starts]
    if not len(starts) or int(counts.max()) == 1:
        return single
    text = np.repeat(np.arange(len(starts)), counts)
    values = logits.astype(np.float64)
    if settings.pooling == "max":
        pooled = np.maximum.reduceat(values, starts, axis=0)
    elif settings.pooling == "mean":
        pooled = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    elif settings.pooling == "log_sum_exp":
        most = np.maximum.reduceat(values, starts, axis=0)
        total = np.add.reduceat(np.exp(values - most[text]), starts, axis=0)
        pooled = most + np.log(total)
    else:
        assert settings.sharpness is not None
        scaled = values * np.array([settings.sharpness[name] for name in names])
        most = np.maximum.reduceat(scaled, starts, axis=0)
        weights = np.exp(scaled - most[text])
        total = np.add.reduceat(weights, starts, axis=0)
        pooled = np.add.reduceat(weights * values, starts, axis=0) / total
    return np.where(counts[:, None] == 1, single, pooled.astype(np.float32))


def loudest_windows(logits: FloatArray, first: IntArray) -> IntArray:
    """Return for each text and label which of its windows has the highest logit, from 0.

    The first of equal ones. *Shapes:* (W, L) and (N + 1,) -> (N, L).
    """
    counts = np.diff(first)
    if not len(counts) or int(counts.max()) == 1:
        return np.zeros((len(counts), logits.shape[1]), dtype=np.int64)
    parts = (logits[start:end] for start, end in pairwise(first.tolist()))
    chosen = [part.argmax(axis=0) for part in parts]
    return np.array(chosen, dtype=np.int64).reshape(len(first) - 1, logits.shape[1])
