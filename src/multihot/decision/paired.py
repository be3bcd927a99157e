"""How sure a difference between two models is that were asked about the same rows.

The rows are drawn with replacement again and again, the same ones for both models, and the metric's
difference is looked at in every draw (Efron and Tibshirani 1993, chapter 16; Berg-Kirkpatrick,
Burkett and Klein 2012 for its use in language processing). What both models find hard cancels out,
so the interval is narrower than that of either metric alone.

Letters: `N` rows, `L` labels, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.errors import LabelError

__all__ = ["COUNT_METRICS", "PairedDifference", "paired_difference", "weighted_metric"]

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.bool_]

_CHUNK_CELLS = 4_000_000  # counts held at a time


@dataclass(frozen=True)
class PairedDifference:
    """One model's metric minus another's, on the same rows."""

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    """`first` - `second`; `None` where one is undefined."""
    low: float | None
    high: float | None
    """The 95 % interval of the difference."""
    share_above_zero: float | None
    """Share of the resamples in which the first model was better."""
    rows: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def paired_difference(
    truth: npt.NDArray[np.floating],
    first: Cells,
    second: Cells,
    *,
    metric: str,
    generator: np.random.Generator,
    num_resamples: int = 2000,
) -> PairedDifference:
    """Compare the decisions of two models on the same rows.

    Parameters
    ----------
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown). Rows without a known cell are left out.
    first, second
        Whether each model gave each label. *Shape:* (N, L), bool.
    metric
        One of `COUNT_METRICS`.
    generator
        Draws the rows.
    num_resamples
        R.

    Raises
    ------
    LabelError
        The shapes differ, or there is no such metric.
    """
    if metric not in COUNT_METRICS:
        raise LabelError(f"There is no metric '{metric}'; known: {', '.join(COUNT_METRICS)}.")
    truth = np.asarray(truth, dtype=np.float32)
    if truth.ndim != 2 or not truth.shape == first.shape == second.shape:
        raise LabelError(
            f"Truth has shape {truth.shape}, the decisions {first.shape} and {second.shape}; "
            "expected (rows, labels) for all three."
        )
    used = ~np.isnan(truth).all(axis=1)
    truth = truth[used]
    metrics = [weighted_metric(metric, truth, cells[used]) for cells in (first, second)]
    num_rows = len(truth)
    once = np.ones((1, num_rows))
    one, other = (_number(of(once)[0]) for of in metrics)
    draws: list[Floats] = []
    step = max(1, _CHUNK_CELLS // max(1, num_rows))
    for start in range(0, num_resamples if num_rows else 0, step):
        size = min(step, num_resamples - start)
        counts = generator.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=size)
        draws.append(metrics[0](counts.astype(np.float64)) - metrics[1](counts.astype(np.float64)))
    drawn = np.concatenate([np.zeros(0), *draws])
    drawn = drawn[~np.isnan(drawn)]
    known = one is not None and other is not None and len(drawn) > 0
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist() if known else (None, None)
    return PairedDifference(
        metric=metric,
        first=one,
        second=other,
        difference=one - other if one is not None and other is not None else None,
        low=low,
        high=high,
        share_above_zero=float((drawn > 0).mean()) if known else None,
        rows=num_rows,
    )


def weighted_metric(
    metric: str, truth: npt.NDArray[np.floating], predicted: Cells
) -> Callable[[Floats], Floats]:
    """Return the metric as a function of how often each row counts.

    The function takes counts of *shape* (R, N) and returns R values, NaN where undefined; with whole
    counts they are those of `decision.metrics.Counts` on rows repeated so often.
    """
    known = ~np.isnan(truth)
    positive = truth == 1
    hit, extra, missed = positive & predicted, known & ~positive & predicted, positive & ~predicted
    wrong = extra | missed
    overlap, errors = hit.sum(axis=1), wrong.sum(axis=1)
    cells = {"hit": hit, "extra": extra, "missed": missed, "wrong": wrong, "known": known}
    per_row = {name: values.sum(axis=1).astype(np.float64) for name, values in cells.items()}
    ones = np.ones(len(truth))
    ratios: dict[str, tuple[Floats, Floats]] = {
        "jaccard": (_share(overlap, overlap + errors, 1.0), ones),
        "jaccard_empty_zero": (_share(overlap, overlap + errors, 0.0), ones),
        "micro_f1": (2 * per_row["hit"], 2 * per_row["hit"] + per_row["wrong"]),
        "samples_f1": (_share(2 * overlap, 2 * overlap + errors, 1.0), ones),
        "micro_precision": (per_row["hit"], per_row["hit"] + per_row["extra"]),
        "micro_recall": (per_row["hit"], per_row["hit"] + per_row["missed"]),
        "subset_accuracy": ((errors == 0).astype(np.float64), ones),
        "hamming_loss": (per_row["wrong"], per_row["known"]),
    }
    if metric in ratios:
        numerators, denominators = ratios[metric]
        return lambda counts: _divided(counts @ numerators, counts @ denominators)
    label_hits, label_wrong = hit.astype(np.float64), wrong.astype(np.float64)
    support = positive.astype(np.float64)

    def by_label(counts: Floats) -> Floats:
        hits = counts @ label_hits
        scores = _divided(2 * hits, 2 * hits + counts @ label_wrong)
        defined = ~np.isnan(scores)
        weights = counts @ support if metric == "weighted_f1" else defined.astype(np.float64)
        return _divided((np.where(defined, scores, 0.0) * weights).sum(axis=1), weights.sum(axis=1))

    return by_label


COUNT_METRICS = (
    "jaccard",
    "jaccard_empty_zero",
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "samples_f1",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
    "hamming_loss",
)
"""The metrics that are built on counts, as `decision.metrics` defines them."""


def _share(
    numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64], empty: float
) -> Floats:
    """Divide row by row; a row of 0/0 is `empty`."""
    return np.where(denominator == 0, empty, numerator / np.maximum(denominator, 1))


def _divided(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; 0/0 is NaN."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.nan, numerator / safe)


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
