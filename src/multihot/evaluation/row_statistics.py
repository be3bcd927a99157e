"""The metrics that are functions of sums over rows: exact, and in random replicates of the rows.

Sums of rows, of rows counted several times, and of rows with the answers of two models swapped all
give metrics in the same way; `bootstrap` makes such sums.

Letters: `N` rows, `L` labels, `K` = 3 L + 9 statistics of a row, `R` sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import wilson_interval
from multihot.decision.counts import (
    COUNT_METRICS,
    NUM_ROW_COUNTS,
    Counts,
    Outcomes,
    count_metrics,
    label_f1,
    outcomes,
    ratio,
)
from multihot.evaluation.bootstrap import ReplicateSums, SparseReplicateSums, poisson_counts
from multihot.evaluation.intervals import Interval, corrected_interval, mean_of_labels_interval
from multihot.evaluation.ranking_cells import ranking_precisions

__all__ = [
    "METRICS_OF_SUMS",
    "SummedMetrics",
    "f1_of_labels",
    "label_counts",
    "label_intervals",
    "metrics_of_sums",
    "num_statistics",
    "row_statistics",
]

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

_Scored = tuple[Floats, Floats, Floats]
_MANY_LABELS = 2048  # from here on, the few cells that are true or given are counted alone
_MEANS_OF_LABELS = ("macro_f1", "weighted_f1")
_NUM_SCORED = 3  # statistics of the scores, see `row_statistics`
_FIXED_POINT = 36  # bits behind the point of a summed loss: sums do not depend on their order
_FIXED_POINT_OF_ONE = 52  # of what is at most 1, which is then summed without rounding
_LEAST_SCORE = np.float64(np.finfo(np.float32).eps)  # scikit-learn clips so far for float32, too

METRICS_OF_SUMS = (*COUNT_METRICS, "lrap", "brier_score", "log_loss")
"""The metrics that are functions of sums over rows."""


class SummedMetrics:
    """`METRICS_OF_SUMS` of rows that are added chunk by chunk; the chunks make no difference.

    Sums are whole numbers, so values do not depend on the order of the rows, to the last bit. With
    `num_replicates` there are intervals by the bootstrap, too.

    Attributes
    ----------
    counts
        The counts of decisions.
    """

    def __init__(self, num_labels: int, num_replicates: int = 0, seed: int = 0) -> None:
        self.counts = Counts(num_labels)
        self._precision = self._squared = self._log = 0
        self._replicates: _Replicates | _ReplicatesOfMany | None = None
        if num_replicates:
            kind = _Replicates if num_labels < _MANY_LABELS else _ReplicatesOfMany
            self._replicates = kind(num_labels, num_replicates, seed)

    def update(self, truth: FloatArray, decided: BoolArray, scores: FloatArray) -> Outcomes:
        """Add rows: *shapes* (N, L), truth 1, 0 or NaN (unknown), scores 0 to 1.

        Returns their outcomes.
        """
        found = self.counts.update(truth, decided)
        scored = _scored(truth, scores)
        self._precision += _fixed_point_sum(scored[0], _FIXED_POINT_OF_ONE)
        self._squared += _fixed_point_sum(scored[1], _FIXED_POINT)
        self._log += _fixed_point_sum(scored[2], _FIXED_POINT)
        if self._replicates is not None:
            self._replicates.update(found, scored)
        return found

    def metrics(self) -> dict[str, float | None]:
        """Return the metrics; `None` where one is undefined.

        Brier score and log loss are means over known cells (Brier 1950; Good 1952), smaller for better
        scores; `lrap` is label ranking average precision, see `ranking_precisions`.
        """
        rows = self.counts.num_rows << _FIXED_POINT_OF_ONE
        cells = int(self.counts.known.sum()) << _FIXED_POINT
        return {
            **self.counts.metrics(),
            "lrap": self._precision / rows if rows else None,
            "brier_score": self._squared / cells if cells else None,
            "log_loss": self._log / cells if cells else None,
        }

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the defined metrics; none without replicates."""
        if self._replicates is None:
            return {}
        drawn = metrics_of_sums(self._replicates.result())
        found = {
            name: (mean_of_labels_interval if name in _MEANS_OF_LABELS else corrected_interval)(
                values, self.counts.num_rows
            )
            for name, values in drawn.items()
        }
        return {name: interval for name, interval in found.items() if interval is not None}


class _Replicates:
    """Sums of all statistics, in replicates of the rows."""

    def __init__(self, num_labels: int, num_replicates: int, seed: int) -> None:
        draw = poisson_counts(seed)
        self._sums = ReplicateSums(num_statistics(num_labels), num_replicates, draw)

    def update(self, found: Outcomes, scored: _Scored) -> None:
        """Add rows."""
        self._sums.update(_joined(found, scored))

    def result(self) -> Floats:
        """Return the sums. *Shape:* (1 + R, K)."""
        return self._sums.result()


class _ReplicatesOfMany:
    """The same for many labels, of which a text has a few and is given a few: only these are held."""

    def __init__(self, num_labels: int, num_replicates: int, seed: int) -> None:
        self._num_labels = num_labels
        draw = poisson_counts(seed)
        self._cells = SparseReplicateSums(3 * num_labels, num_replicates, draw)
        self._others = ReplicateSums(NUM_ROW_COUNTS + _NUM_SCORED, num_replicates, draw)

    def update(self, found: Outcomes, scored: _Scored) -> None:
        """Add rows."""
        kinds = found.true_positive, found.false_positive, found.false_negative
        for number, cells in enumerate(kinds):
            rows, columns = np.nonzero(cells)
            last = number == len(kinds) - 1
            self._cells.update(rows, columns + number * self._num_labels, len(cells) if last else 0)
        self._others.update(np.concatenate([found.row_counts(), _tail(scored)], axis=1))

    def result(self) -> Floats:
        """Return the sums. *Shape:* (1 + R, K)."""
        return np.concatenate([self._cells.result(), self._others.result()], axis=1)


def num_statistics(num_labels: int) -> int:
    """Return K."""
    return 3 * num_labels + NUM_ROW_COUNTS + _NUM_SCORED


def row_statistics(truth: FloatArray, predicted: BoolArray, scores: FloatArray) -> Floats:
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
        *Shape:* (rows with a known cell, K), float64. What `Outcomes.per_row` holds; then the ranking
        precision of the row, and the sums of its squared errors and log losses.
    """
    return _joined(outcomes(truth, predicted), _scored(truth, scores))


def metrics_of_sums(sums: Floats) -> dict[str, Floats]:
    """Return each of `METRICS_OF_SUMS` for each row of sums. *Shapes:* (R, K) -> (R,), NaN for 0/0."""
    counted = sums[:, :-_NUM_SCORED]
    rows, known = counted[:, -2:].T
    precision, squared, log = sums[:, -_NUM_SCORED:].T
    return {
        **count_metrics(counted),
        "lrap": ratio(precision, rows),
        "brier_score": ratio(squared, known),
        "log_loss": ratio(log, known),
    }


def f1_of_labels(sums: Floats) -> Floats:
    """Return the F1 of each label. *Shapes:* (R, K) -> (R, L), NaN for 0/0."""
    return label_f1(sums[:, :-_NUM_SCORED])


def label_counts(sums: Floats) -> Floats:
    """Return the cells in which a label is true or given. *Shapes:* (R, K) -> (R, L)."""
    labels = sums[:, : -NUM_ROW_COUNTS - _NUM_SCORED]
    return np.asarray(labels.reshape(len(sums), 3, -1).sum(axis=1))


def label_intervals(counts: Counts) -> dict[str, list[float | None]]:
    """Return the ends of 95 % intervals of precision, recall and F1 of each label.

    Given how many texts count, each is a proportion of independent texts or a rising function of one:
    with J = true positives / (true positives + errors), F1 = 2 J / (1 + J). So the interval of
    Wilson 1927 holds, also for labels that few texts have. The keys are those of a report, such
    as `f1_low`; `None` where undefined.
    """
    right, extra, missed = counts.true_positive, counts.false_positive, counts.false_negative
    low, high = wilson_interval(right, right + extra + missed)
    ends = {
        "precision": wilson_interval(right, right + extra),
        "recall": wilson_interval(right, right + missed),
        "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
    }
    return {
        f"{name}_{end}": [None if np.isnan(value) else value for value in values.tolist()]
        for name, both in ends.items()
        for end, values in zip(("low", "high"), both, strict=True)
    }


def _scored(truth: FloatArray, scores: FloatArray) -> _Scored:
    """Return ranking precision (rows,), and squared error and log loss of each cell (rows, L).

    Of the rows that have a known cell; unknown cells lose nothing. For the log loss, scores are kept
    2^-23 away from 0 and 1.
    """
    known = ~np.isnan(truth)
    used = known.any(axis=1)
    truth, scores, known = truth[used], scores[used], known[used]
    probability = scores.astype(np.float64)
    squared = np.where(known, (probability - truth) ** 2, 0.0)
    probability = np.clip(probability, _LEAST_SCORE, 1 - _LEAST_SCORE)
    log = -np.log(np.where(truth == 1, probability, 1 - probability))
    return ranking_precisions(truth, scores), squared, np.where(known, log, 0.0)


def _joined(found: Outcomes, scored: _Scored) -> Floats:
    return np.concatenate([found.per_row(), _tail(scored)], axis=1)


def _tail(scored: _Scored) -> Floats:
    """Return the statistics of the scores. *Shape:* (rows, 3)."""
    precision, squared, log = scored
    return np.stack([precision, squared.sum(axis=1), log.sum(axis=1)], axis=1)


def _fixed_point_sum(values: Floats, bits: int) -> int:
    """Return the sum of values in units of 2^-`bits`; a row of them fits 64 bits."""
    units = np.rint(values * 2.0**bits).astype(np.int64)
    return sum((units if units.ndim == 1 else units.sum(axis=1)).tolist())
