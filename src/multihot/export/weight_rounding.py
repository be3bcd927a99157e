"""Weights of a linear layer as integers.

Letters: `D` inputs and `M` outputs of a linear layer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["rounded_weight"]

FloatArray = npt.NDArray[np.float32]

_SMALLEST_SCALE = 1e-20
_DAMPING = 0.01  # of the mean moment, added to the diagonal so that the inverse exists
_BLOCK = 128  # inputs whose errors are passed on together


def rounded_weight(
    weight: FloatArray, largest: int, moments: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return (D, M) integers of at most `largest`, and one scale per output, (M,).

    Without moments every weight is rounded to the nearest integer. With the moments of the inputs,
    the error of a weight is passed on to the weights of the same output that are not yet rounded,
    so that the outputs change least (Frantar et al. 2022, GPTQ).

    Parameters
    ----------
    weight
        *Shape:* (D, M).
    largest
        Largest integer.
    moments
        Sum over tokens of the products of inputs. *Shape:* (D, D).
    """
    scales = np.maximum(np.abs(weight).max(axis=0), _SMALLEST_SCALE) / largest
    scales = scales.astype(np.float32)
    if moments is None:
        return np.round(weight / scales).astype(np.int8), scales
    return _passed_on(weight, scales, largest, moments), scales


def _passed_on(
    weight: FloatArray, scales: FloatArray, largest: int, moments: npt.NDArray[np.float64]
) -> npt.NDArray[np.int8]:
    order = np.argsort(-np.diagonal(moments), kind="stable")
    rest = (weight / scales)[order].astype(np.float32)
    factors = _inverse_factor(moments[np.ix_(order, order)]).astype(np.float32)
    rounded = np.empty(rest.shape, np.float32)
    for start in range(0, len(rest), _BLOCK):
        end = min(start + _BLOCK, len(rest))
        errors = np.empty((end - start, rest.shape[1]), np.float32)
        for row in range(start, end):
            rounded[row] = np.clip(np.round(rest[row]), -largest, largest)
            errors[row - start] = (rest[row] - rounded[row]) / factors[row, row]
            rest[row + 1 : end] -= factors[row, row + 1 : end, None] * errors[row - start]
        rest[end:] -= factors[start:end, end:].T @ errors
    result = np.empty(rest.shape, np.int8)
    result[order] = rounded.astype(np.int8)
    return result


def _inverse_factor(moments: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the upper triangular U with U' U = inverse of the damped moments."""
    size = len(moments)
    damped = moments + np.eye(size) * (_DAMPING * np.trace(moments) / size + _SMALLEST_SCALE)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)
