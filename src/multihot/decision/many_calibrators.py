"""Logistic maps of many labels at once: Newton's method steps all columns together.

Letters: `N` texts, `L` labels, `F` features. The same maps as `calibrators` fits one by one, equal but for
the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.decision.calibrators import MAX_STEPS, STEEPEST, fit_beta

__all__ = ["block_columns", "fit_beta_maps", "fit_platt_maps", "logistic_regressions"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]

_BLOCK_CELLS = 1 << 18


def block_columns(num_rows: int) -> int:
    """Return how many labels are fitted at once."""
    return max(1, _BLOCK_CELLS // max(1, num_rows))


def fit_platt_maps(
    logits: DoubleArray, known: BoolArray, positive: BoolArray
) -> list[tuple[float, ...] | None]:
    """Return a and b of `a z + b` of each label; `None` where a is not above 0. *Shapes:* (N, L)."""
    found: list[tuple[float, ...] | None] = []
    for values, used, target, _ in _blocks(logits, known, positive):
        weights = logistic_regressions([values, np.ones(values.shape)], target, used)
        is_map = np.isfinite(weights).all(axis=0) & (weights[0] > 0) & (weights[0] <= STEEPEST)
        pairs = zip(weights.T.tolist(), np.atleast_1d(is_map).tolist(), strict=True)
        found += [tuple(pair) if fits else None for pair, fits in pairs]
    return found


def fit_beta_maps(
    logits: DoubleArray, known: BoolArray, positive: BoolArray
) -> list[tuple[float, ...] | None]:
    """Return a, b and c of the beta map of each label, as `fit_beta` does. *Shapes:* (N, L)."""
    found: list[tuple[float, ...] | None] = []
    for values, used, target, has_label in _blocks(logits, known, positive):
        features = [-np.logaddexp(0, -values), np.logaddexp(0, values), np.ones(values.shape)]
        weights = logistic_regressions(features, target, used)
        slopes = weights[:2]
        is_map = np.isfinite(weights).all(axis=0) & ((slopes > 0) & (slopes <= STEEPEST)).all(
            axis=0
        )
        for column, (triple, fits) in enumerate(
            zip(weights.T.tolist(), np.atleast_1d(is_map).tolist(), strict=True)
        ):
            cells = used[:, column]
            alone = values[cells, column], has_label[cells, column]
            found.append(tuple(triple) if fits else fit_beta(*alone))
    return found


def _blocks(
    logits: DoubleArray, known: BoolArray, positive: BoolArray
) -> Sequence[tuple[DoubleArray, BoolArray, DoubleArray, BoolArray]]:
    """Return logits, which are known, what they are fitted to, and truth, some columns at a time.

    Each column is sorted, so that sums do not depend on the order of the rows.
    """
    blocks = []
    step = block_columns(len(logits))
    for start in range(0, logits.shape[1], step):
        part = slice(start, start + step)
        values = np.where(known[:, part], logits[:, part], np.inf)
        order = np.lexsort((positive[:, part], values), axis=0)
        values, used, has_label = (
            np.take_along_axis(each, order, axis=0)
            for each in (values, known[:, part], positive[:, part])
        )
        num_positive = has_label.sum(axis=0)
        num_negative = used.sum(axis=0) - num_positive
        target = np.where(
            has_label, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2)
        )
        blocks.append((np.where(used, values, 0.0), used, target, has_label))
    return blocks


def logistic_regressions(
    features: Sequence[DoubleArray], target: DoubleArray, used: BoolArray
) -> DoubleArray:
    """Return the weights of the least log loss of each column, by Newton's method with halved steps.

    Parameters
    ----------
    features
        F arrays. *Shape of each:* (N, L).
    target
        *Shape:* (N, L), each between 0 and 1.
    used
        Which cells count. *Shape:* (N, L).

    Returns
    -------
    weights
        *Shape:* (F, L); not finite where there is no finite optimum.
    """
    stacked = np.stack([np.where(used, feature, 0.0) for feature in features])
    size = np.maximum(np.abs(stacked).max(axis=1), 1e-300)
    stacked /= size[:, None]
    weights = np.zeros(size.shape)
    active = np.arange(size.shape[1])
    loss = _losses(stacked, weights, target, used)
    for _ in range(MAX_STEPS):
        if not len(active):
            break
        cells, aim, counted = stacked[:, :, active], target[:, active], used[:, active]
        start, before = weights[:, active], loss[active]
        step = _newton_steps(cells, start, aim)
        length = np.ones(len(active))
        found = _losses(cells, start - step, aim, counted)
        while len(longer := np.flatnonzero((found > before) & (length >= 1e-10))):
            length[longer] /= 2
            moved = start[:, longer] - length[longer] * step[:, longer]
            found[longer] = _losses(cells[:, :, longer], moved, aim[:, longer], counted[:, longer])
        better = (length >= 1e-10) & np.isfinite(found)
        moved = active[better]
        weights[:, moved] = (start - length * step)[:, better]
        loss[moved] = found[better]
        weights[:, active[~np.isfinite(step).all(axis=0)]] = np.nan
        active = active[better & (before - found > 1e-14 * np.maximum(1.0, before))]
    return np.asarray(weights / size)


def _newton_steps(cells: DoubleArray, weights: DoubleArray, target: DoubleArray) -> DoubleArray:
    """Return the step of each column, NaN where it is not defined. *Shape:* (F, L)."""
    probability = sigmoid((cells * weights[:, None]).sum(axis=0), np.float64)
    gradient = (cells * (probability - target)).sum(axis=1)
    curvature: DoubleArray = probability * (1 - probability)
    num_features, _, num_labels = cells.shape
    hessian = np.empty((num_labels, num_features, num_features))
    for one in range(num_features):
        weighted = cells[one] * curvature
        for other in range(one, num_features):
            hessian[:, one, other] = hessian[:, other, one] = (weighted * cells[other]).sum(axis=0)
    hessian += 1e-12 * np.eye(num_features)
    try:
        return np.asarray(np.linalg.solve(hessian, gradient.T[:, :, None])[:, :, 0].T)
    except np.linalg.LinAlgError:  # of one label
        return np.full(gradient.shape, np.nan)


def _losses(
    cells: DoubleArray, weights: DoubleArray, target: DoubleArray, used: BoolArray
) -> DoubleArray:
    values = (cells * weights[:, None]).sum(axis=0)
    return np.asarray(np.where(used, np.logaddexp(0, values) - target * values, 0.0).sum(axis=0))
