"""What a row adds to the sums that metrics are ratios of, and the metrics of such sums.

Sums of rows, of rows counted several times, and of rows with the answers of two models swapped all
give metrics in the same way; `decision.replicates` makes such sums.

Letters: `N` rows, `L` labels, `K` = 3 L + 9 statistics of a row, `R` sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.decision.counts import COUNT_METRICS
from multihot.evaluation.ranking_exact import lrap_shares

__all__ = [
    "METRICS_OF_SUMS",
    "Losses",
    "cell_losses",
    "label_counts",
    "label_figures",
    "metrics_of_sums",
    "num_statistics",
    "row_statistics",
]

Floats = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

_NUM_TAIL = 9  # see `row_statistics`
_FIXED_POINT = 36  # bits behind the point of a summed loss: sums do not depend on their order
_LEAST_SCORE = np.float64(np.finfo(np.float32).eps)  # scikit-learn clips so far for float32, too

METRICS_OF_SUMS = (*COUNT_METRICS, "lrap", "brier_score", "log_loss")
"""The metrics that are functions of sums over rows."""


class Losses:
    """Brier score and log loss of rows that are added chunk by chunk; the chunks make no difference.

    Each is a mean over known cells (Brier 1950; Good 1952); both are smaller for better scores.
    """

    def __init__(self) -> None:
        self._squared = self._log = self._known = 0

    def update(self, truth: FloatArray, scores: FloatArray) -> None:
        """Add rows: *shapes* (N, L), truth 1, 0 or NaN (unknown), scores 0 to 1."""
        squared, log = (_fixed_point_sum(losses) for losses in cell_losses(truth, scores))
        self._squared, self._log = self._squared + squared, self._log + log
        self._known += int(np.count_nonzero(~np.isnan(truth)))

    def metrics(self) -> dict[str, float | None]:
        """Return both, `None` without a known cell."""
        unit = self._known << _FIXED_POINT
        return {
            "brier_score": self._squared / unit if unit else None,
            "log_loss": self._log / unit if unit else None,
        }


def num_statistics(num_labels: int) -> int:
    """Return K."""
    return 3 * num_labels + _NUM_TAIL


def row_statistics(
    truth: FloatArray, predicted: npt.NDArray[np.bool_], scores: FloatArray
) -> Floats:
    """Return the statistics of the rows that have a known cell, in their order.

    Parameters
    ----------
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown).
    predicted
        Whether each label was given. *Shape:* (N, L), bool.
    scores
        *Shape:* (N, L), each between 0 and 1.

    Returns
    -------
    statistics
        *Shape:* (rows with a known cell, K), float64. True positives, false positives and false
        negatives of each label; then the row's Jaccard share with empty sets as 1 and as 0, its F1,
        whether it is all right, 1, its known cells, its ranking precision, and the sums of its
        squared errors and log losses.
    """
    known = ~np.isnan(truth)
    used = known.any(axis=1)
    truth, predicted, scores, known = truth[used], predicted[used], scores[used], known[used]
    positive = truth == 1
    hit, extra = positive & predicted, known & ~positive & predicted
    missed = positive & ~predicted
    overlap, wrong = hit.sum(axis=1), (extra | missed).sum(axis=1)
    empty = overlap + wrong == 0
    jaccard = overlap / np.maximum(overlap + wrong, 1)
    squared, log = cell_losses(truth, scores)
    tail = [
        jaccard + empty,
        jaccard,
        2 * overlap / np.maximum(2 * overlap + wrong, 1) + empty,
        wrong == 0,
        np.ones(len(truth)),
        known.sum(axis=1),
        lrap_shares(truth, scores),
        squared.sum(axis=1),
        log.sum(axis=1),
    ]
    return np.concatenate([hit, extra, missed, np.stack(tail, axis=1)], axis=1, dtype=np.float64)


def metrics_of_sums(sums: Floats) -> dict[str, Floats]:
    """Return each of `METRICS_OF_SUMS` for each row of sums. *Shapes:* (R, K) -> (R,), NaN for 0/0."""
    labels = sums[:, :-_NUM_TAIL].reshape(len(sums), 3, -1)
    hits, extras, missed = np.moveaxis(labels.sum(axis=2), 1, 0)
    jaccard, jaccard_zero, samples, equal, rows, known, lrap, squared, log = sums[:, -_NUM_TAIL:].T
    f1 = label_figures(sums)["f1"]
    defined = ~np.isnan(f1)
    f1, support = np.where(defined, f1, 0.0), labels[:, 0] + labels[:, 2]
    found = (
        _ratio(jaccard, rows),
        _ratio(jaccard_zero, rows),
        _ratio(2 * hits, 2 * hits + extras + missed),
        _ratio(f1.sum(axis=1), defined.sum(axis=1)),
        _ratio((f1 * support).sum(axis=1), hits + missed),
        _ratio(samples, rows),
        _ratio(hits, hits + extras),
        _ratio(hits, hits + missed),
        _ratio(equal, rows),
        _ratio(extras + missed, known),
        _ratio(lrap, rows),
        _ratio(squared, known),
        _ratio(log, known),
    )
    return dict(zip(METRICS_OF_SUMS, found, strict=True))


def label_figures(sums: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 of each label. *Shapes:* (R, K) -> (R, L), NaN for 0/0."""
    hits, extras, missed = np.moveaxis(sums[:, :-_NUM_TAIL].reshape(len(sums), 3, -1), 1, 0)
    return {
        "precision": _ratio(hits, hits + extras),
        "recall": _ratio(hits, hits + missed),
        "f1": _ratio(2 * hits, 2 * hits + extras + missed),
    }


def label_counts(sums: Floats) -> Floats:
    """Return the cells in which a label is true or given. *Shapes:* (R, K) -> (R, L)."""
    return np.asarray(sums[:, :-_NUM_TAIL].reshape(len(sums), 3, -1).sum(axis=1))


def cell_losses(truth: FloatArray, scores: FloatArray) -> tuple[Floats, Floats]:
    """Return squared error and log loss of each cell, 0 for unknown ones. *Shapes:* (N, L).

    For the log loss, scores are kept 2^-23 away from 0 and 1.
    """
    known = ~np.isnan(truth)
    chance = scores.astype(np.float64)
    squared = np.where(known, (chance - truth) ** 2, 0.0)
    chance = np.clip(chance, _LEAST_SCORE, 1 - _LEAST_SCORE)
    log = -np.log(np.where(truth == 1, chance, 1 - chance))
    return squared, np.where(known, log, 0.0)


def _fixed_point_sum(losses: Floats) -> int:
    """Return the sum over all cells in units of 2^-36."""
    rows = np.rint(losses * 2.0**_FIXED_POINT).astype(np.int64).sum(axis=1)
    return sum(rows.tolist())


def _ratio(numerator: npt.NDArray[np.generic], denominator: npt.NDArray[np.generic]) -> Floats:
    """Divide; 0/0 is NaN."""
    top, bottom = numerator.astype(np.float64), denominator.astype(np.float64)
    result = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result
