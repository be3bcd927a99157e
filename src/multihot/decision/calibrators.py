"""Maps from a logit to a calibrated logit, each fitted on one column of logits and truth.

Every map is non-decreasing. Letters: `N` known cells of one label (or of all, for the temperature),
`F` features.

temperature  a z                                       Guo et al., ICML 2017, section 4.2
platt        a z + b                                   Platt, Advances in Large Margin Classifiers, 1999
beta         a ln s - b ln(1 - s) + c, s = sigmoid(z)  Kull, Silva Filho and Flach, AISTATS 2017
isotonic     blocks of equal frequency, joined by lines   Zadrozny and Elkan, KDD 2002; see `isotonic_map`
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import logit, sigmoid

__all__ = [
    "MAX_STEPS",
    "PART_CELLS",
    "STEEPEST",
    "apply_beta",
    "fit_beta",
    "fit_platt",
    "fit_slope",
    "fit_slope_of_many",
    "isotonic_blocks",
    "isotonic_map",
    "logistic_regression",
    "targets",
]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]

MAX_STEPS = 100
"""Of Newton's method."""

PART_CELLS = 1 << 20
"""Of very many cells, those that are held in double precision at once."""

STEEPEST = 1000.0
"""A larger slope only says that the two kinds are separated."""


def targets(positive: BoolArray) -> DoubleArray:
    """Return what logistic maps are fitted to: (P + 1) / (P + 2) and 1 / (N + 2) instead of 1 and 0.

    P and N are the numbers of positives and negatives (Platt 1999, section 2.2). They keep the fit
    finite where a threshold separates the two. *Shape:* (N,).
    """
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    soft: DoubleArray = np.where(
        positive, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2)
    )
    return soft


def logistic_regression(features: DoubleArray, target: DoubleArray) -> DoubleArray | None:
    """Return the weights of the least log loss, by Newton's method with halved steps.

    Parameters
    ----------
    features
        *Shape:* (N, F).
    target
        *Shape:* (N,), each between 0 and 1.

    Returns
    -------
    weights
        *Shape:* (F,); `None` where there is no finite optimum.
    """
    # Columns of one size keep the equations well conditioned.
    size = np.maximum(np.abs(features).max(axis=0), 1e-300)
    scaled = features / size
    weights = np.zeros(scaled.shape[1])
    values = scaled @ weights
    loss = _log_loss(values, target)
    for _ in range(MAX_STEPS):
        probability = sigmoid(values, np.float64)
        gradient = scaled.T @ (probability - target)
        hessian = (scaled * (probability * (1 - probability))[:, None]).T @ scaled
        try:
            step = np.linalg.solve(hessian + 1e-12 * np.eye(len(weights)), gradient)
        except np.linalg.LinAlgError:
            return None
        length = 1.0
        values = scaled @ (weights - step)
        while (found := _log_loss(values, target)) > loss:
            length /= 2
            if length < 1e-10:
                break
            values = scaled @ (weights - length * step)
        if length < 1e-10:
            break
        weights, gained, loss = weights - length * step, loss - found, found
        if gained <= 1e-14 * max(1.0, loss):
            break
    weights = weights / size
    return weights if np.isfinite(weights).all() else None


def fit_slope(logits: DoubleArray, positive: BoolArray) -> float | None:
    """Return a of `a z`, the inverse of a temperature; `None` where it is not above 0."""
    weights = logistic_regression(logits[:, None], targets(positive))
    return None if weights is None or not 0 < weights[0] <= STEEPEST else float(weights[0])


def fit_slope_of_many(
    negatives: npt.NDArray[np.float32], positives: npt.NDArray[np.float32]
) -> float | None:
    """Return the same as `fit_slope` but for rounding: sums over very many cells are taken in parts.

    *Shapes:* (cells,) each, both by rising logit; in double precision only a part at a time.
    """
    size = max(float(np.abs(each).max(initial=0)) for each in (negatives, positives))
    softened = 1 / (len(negatives) + 2), (len(positives) + 1) / (len(positives) + 2)
    parts = [
        (each[start : start + PART_CELLS], target)
        for each, target in zip((negatives, positives), softened, strict=True)
        for start in range(0, len(each), PART_CELLS)
    ]

    def sums(weight: float) -> tuple[float, float, float]:
        """Return the log loss with its first and second derivative."""
        found = []
        for cells, target in parts:
            scaled = cells.astype(np.float64) / max(size, 1e-300)
            probability = sigmoid(scaled * weight, np.float64)
            slope = float(scaled @ (probability - target))
            curvature = float((scaled * (probability * (1 - probability))) @ scaled)
            found.append((_log_loss(scaled * weight, target), slope, curvature))
        loss, slope, curvature = (math.fsum(each) for each in zip(*found, strict=True))
        return loss, slope, curvature

    weight, (loss, slope, curvature) = 0.0, sums(0.0)
    for _ in range(MAX_STEPS):
        step, length = slope / (curvature + 1e-12), 1.0
        while (found := sums(weight - length * step))[0] > loss and length >= 1e-10:
            length /= 2
        if length < 1e-10:
            break
        gained = loss - found[0]
        weight, (loss, slope, curvature) = weight - length * step, found
        if gained <= 1e-14 * max(1.0, loss):
            break
    weight /= max(size, 1e-300)
    return weight if 0 < weight <= STEEPEST else None


def fit_platt(logits: DoubleArray, positive: BoolArray) -> tuple[float, float] | None:
    """Return a and b of `a z + b`; `None` where a is not above 0."""
    weights = logistic_regression(np.stack([logits, np.ones(len(logits))], 1), targets(positive))
    if weights is None or not 0 < weights[0] <= STEEPEST:
        return None
    return float(weights[0]), float(weights[1])


def fit_beta(logits: DoubleArray, positive: BoolArray) -> tuple[float, float, float] | None:
    """Return a, b and c of the beta map, a and b at least 0; `None` where both are 0.

    Where the best map has a negative a or b, one of the two is 0 in the best allowed one (the loss is
    convex): both are tried, and the one of less loss is taken.
    """
    target, one = targets(positive), np.ones(len(logits))
    columns = {0: -np.logaddexp(0, -logits), 1: np.logaddexp(0, logits)}
    for attempts in (((0, 1),), ((0,), (1,))):
        best: tuple[float, tuple[float, float, float]] | None = None
        for used in attempts:
            features = np.stack([*(columns[column] for column in used), one], 1)
            weights = logistic_regression(features, target)
            if weights is None or not ((weights[:-1] > 0) & (weights[:-1] <= STEEPEST)).all():
                continue
            slopes = dict(zip(used, weights[:-1].tolist(), strict=True))
            found = slopes.get(0, 0.0), slopes.get(1, 0.0), float(weights[-1])
            loss = _log_loss(features @ weights, target)
            best = (loss, found) if best is None or loss < best[0] else best
        if best is not None:
            return best[1]
    return None


def apply_beta(logits: DoubleArray, a: float, b: float, c: float) -> DoubleArray:
    """Return `a ln s - b ln(1 - s) + c` of logits. *Shape:* (N,)."""
    left = -a * np.logaddexp(0, -logits) if a else 0.0
    right = b * np.logaddexp(0, logits) if b else 0.0
    return np.asarray(left + right + c, dtype=np.float64)


def isotonic_blocks(
    logits: DoubleArray, positive: BoolArray
) -> tuple[DoubleArray, DoubleArray, npt.NDArray[np.int64]]:
    """Return mean logit, frequency of positives, and size of each block that pooling violators leaves.

    Equal logits are one block from the start. *Shapes:* (blocks,), the first two rising strictly.
    """
    values, inverse = np.unique(logits, return_inverse=True)
    sizes = np.bincount(inverse)
    positives = np.bincount(inverse, weights=positive).astype(np.int64)
    blocks: list[tuple[float, int, int]] = []  # summed logit, positives, cells
    for total, hit, size in zip(
        (values * sizes).tolist(), positives.tolist(), sizes.tolist(), strict=True
    ):
        block = (total, hit, size)
        # Equal frequencies are pooled too; whole numbers compare them exactly.
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    table = np.array(blocks)
    return table[:, 0] / table[:, 2], table[:, 1] / table[:, 2], table[:, 2].astype(np.int64)


def isotonic_map(logits: DoubleArray, positive: BoolArray) -> tuple[DoubleArray, DoubleArray]:
    """Return the corners (x, y) of a strictly rising map from logit to calibrated logit.

    A corner is a block's mean logit and the logit of its frequency; frequencies of 0 and 1 are moved inwards
    to half a cell of all N. Lines between the corners break the ties that pooling makes, so the
    order within a label stays. *Shapes:* (corners,), both rising strictly.
    """
    x, frequency, _ = isotonic_blocks(logits, positive)
    edge = 0.5 / (len(logits) + 1)
    frequency = np.clip(frequency, edge, 1 - edge)
    return x, logit(frequency)


def _log_loss(values: DoubleArray, target: DoubleArray | float) -> float:
    return float((np.logaddexp(0, values) - target * values).sum())
