"""Which texts to label next: those that tell most about labels that little is known about.

Letters: `N` texts, `L` labels, `D` width of vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.errors import OptionError

__all__ = [
    "Chosen",
    "check_choice",
    "choose_texts",
    "gains_of_scores",
    "gains_of_similarities",
    "worth_comparing",
]

FloatArray = npt.NDArray[np.float32]

_LEAST_CANDIDATES, _CANDIDATES_EACH = 5000, 20
_TOP_SHARE = 0.02  # of texts that may have a label, where nothing but its name is known
_STEEPNESS = 3.0
_OF_CERTAINTY = 0.9
_PRIOR = 5  # positives that every label has in advance, so that the first few are not everything


@dataclass(frozen=True)
class Chosen:
    """Texts in the order in which they were chosen.

    Attributes
    ----------
    rows
        *Shape:* (chosen,), int64.
    values
        *Shape:* (chosen,). What each was worth when it was chosen.
    shares
        *Shape:* (chosen, L). How much of that each label makes up; rows add up to 1.
    """

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]


def gains_of_scores(scores: FloatArray) -> FloatArray:
    """Return how much a text may tell about each label. *Shapes:* (N, L) -> (N, L), 0 to 1.

    It is nearly the variance of a decision, `p (1 - 0.9 p)`: a certain positive still counts a tenth,
    since models that were trained on few texts are certain too often. Positives of rare labels come
    before texts that are merely near to a threshold, on which annotators disagree as well
    (`benchmarks/suggest.py`).
    """
    return (scores * (1 - _OF_CERTAINTY * scores)).astype(np.float32)


def gains_of_similarities(similarities: FloatArray) -> FloatArray:
    """Return the same where only the names of labels are known.

    The 2 % of the texts that are most similar to a name count as likely to have the label.
    *Shapes:* (N, L) -> (N, L), 0 to 1.
    """
    spread = similarities.std(axis=0)
    standard = (similarities - similarities.mean(axis=0)) / np.where(spread > 0, spread, 1)
    top = np.quantile(standard, 1 - _TOP_SHARE, axis=0)
    return sigmoid(_STEEPNESS * (standard - top)).astype(np.float32)


def check_choice(count: int, diversity: float) -> None:
    """Raise `OptionError` where so many texts cannot be chosen, or not with such a diversity."""
    if count < 1:
        raise OptionError(f"count is {count}; expected at least 1.")
    if not 0 <= diversity <= 1:
        raise OptionError(f"diversity is {diversity}; expected a number between 0 and 1.")


def worth_comparing(gains: FloatArray, counts: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """Return the rows that are worth comparing with each other, in their order; all of a small pool."""
    most = max(_LEAST_CANDIDATES, _CANDIDATES_EACH * count)
    if len(gains) <= most:
        return np.arange(len(gains))
    value = gains @ (1 / (np.asarray(counts, dtype=np.float64) + _PRIOR))
    return np.sort(np.argpartition(-value, most)[:most])


def choose_texts(
    gains: FloatArray,
    counts: npt.ArrayLike,
    vectors: FloatArray,
    count: int,
    *,
    diversity: float = 0.5,
) -> Chosen:
    """Choose texts one after the other, each the most valuable beside those that were chosen before.

    The value of a text is the sum over labels of `gain / (positives + 5)`, where the positives are
    those that are known and those that the chosen texts may bring: a label that has many already is
    worth little. It falls with the cosine to the nearest chosen text.

    Parameters
    ----------
    gains
        *Shape:* (N, L), 0 to 1. How much a text may tell about each label.
    counts
        *Shape:* (L,). Positives of each label that are known already.
    vectors
        *Shape:* (N, D), of length 1.
    count
        How many to choose; fewer where there are not so many texts.
    diversity
        0 (none) to 1: how much of its value a text loses that says the same as a chosen one.
    """
    check_choice(count, diversity)
    known = np.asarray(counts, dtype=np.float64).copy()
    nearest = np.zeros(len(gains), dtype=np.float32)
    is_left = np.ones(len(gains), dtype=np.bool_)
    rows, values, shares = [], [], []
    for _ in range(min(count, len(gains))):
        weights = 1 / (known + _PRIOR)
        worth = (gains @ weights) * (1 - diversity * nearest)
        row = int(np.where(is_left, worth, -1).argmax())
        parts = gains[row] * weights
        rows.append(row)
        values.append(float(worth[row]))
        shares.append(parts / max(parts.sum(), 1e-12))
        is_left[row] = False
        known += gains[row]
        nearest = np.maximum(nearest, vectors @ vectors[row])
    return Chosen(
        np.array(rows, dtype=np.int64),
        np.array(values, dtype=np.float64),
        np.array(shares, dtype=np.float64).reshape(len(rows), gains.shape[1]),
    )
