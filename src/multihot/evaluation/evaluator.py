"""Scores and truth to a report: every metric with its interval, streamed over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.data.examples import Examples
from multihot.data.labelled_file import required_labels, window_rows
from multihot.decision.counts import COUNT_METRICS, Counts, Outcomes
from multihot.decision.decision import Decision, rows_fitted
from multihot.decision.objective import counted_value
from multihot.decision.promises import PromiseTally
from multihot.evaluation.bootstrap import num_replicates
from multihot.evaluation.ranking import MAX_EXACT_CELLS, Ranking, RankingMetrics
from multihot.evaluation.report import LabelReport, Report
from multihot.evaluation.row_statistics import SummedMetrics, label_intervals

__all__ = ["HIERARCHICAL_METRICS", "EvaluatedRows", "Evaluation", "report"]

HIERARCHICAL_METRICS = {
    "hierarchical_precision": "micro_precision",
    "hierarchical_recall": "micro_recall",
    "hierarchical_f1": "micro_f1",
}
"""Of Kiritchenko, Matwin and Famili (2005): over the labels of each text with all that they imply.

Decisions and truth are closed before they are counted, so these are the micro-averages of such labels."""

_METRICS = (
    *COUNT_METRICS,
    *HIERARCHICAL_METRICS,
    "lrap",
    "mean_average_precision",
    "micro_roc_auc",
    "macro_roc_auc",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "expected_calibration_error_if_calibrated",
    "mean_label_ece",
    "mean_label_ece_if_calibrated",
)  # in the order in which they are shown


@dataclass(frozen=True)
class EvaluatedRows:
    """N rows as they entered an evaluation; *shapes* (N, L).

    Attributes
    ----------
    truth
        1, 0 or NaN (unknown).
    scores
        0 to 1, float32.
    decided
        Whether each label was given.
    outcomes
        Of those rows that have a known cell.
    counts
        Of all rows of the evaluation so far.
    """

    truth: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    decided: npt.NDArray[np.bool_]
    outcomes: Outcomes
    counts: Counts


class Evaluation:
    """A report in the making: rows are added chunk by chunk, and the chunks make no difference.

    Memory does not grow with the rows: see `SummedMetrics`, and `Ranking` for the rest.
    """

    def __init__(
        self,
        decision: Decision,
        num_rows: int,
        *,
        max_exact_cells: int = MAX_EXACT_CELLS,
        intervals: bool = False,
        seed: int = 0,
    ) -> None:
        num_labels = len(decision.space)
        self._decision = decision
        self._intervals = intervals
        replicates = num_replicates(num_rows, num_labels) if intervals else 0
        self._sums = SummedMetrics(num_labels, replicates, seed)
        self._ranking = Ranking(
            num_rows, num_labels, max_exact_cells=max_exact_cells, intervals=intervals, seed=seed
        )
        limits = [promise.parsed() for promise in decision.promises]
        self._promises = PromiseTally(limits, decision.space.names)
        self._num_fitted = self._num_truncated = 0

    def update(
        self,
        texts: Sequence[str],
        labels: LabelMatrix,
        logits: npt.NDArray[np.float32],
        num_truncated: int = 0,
    ) -> EvaluatedRows:
        """Add rows: N texts, their labels, their logits (N, L), and how many texts were cut."""
        labels = labels.aligned_to(self._decision.space).hard()
        scores = self._decision.scores(logits)
        decided = self._decision.decide(scores)
        outcomes = self._sums.update(labels.values, decided, scores)
        self._promises.update(labels.values, decided)
        self._ranking.update(labels.values, scores)
        self._num_truncated += num_truncated
        self._num_fitted += rows_fitted(self._decision, texts, labels)
        return EvaluatedRows(labels.values, scores, decided, outcomes, self._sums.counts)

    def report(self) -> Report:
        """Return the report; after this no rows can be added."""
        names, ranking = self._decision.space.names, self._ranking.result()
        found = {**self._sums.metrics(), **ranking.metrics}
        intervals = {**self._sums.intervals(), **ranking.intervals}
        if self._decision.space.hierarchy is not None:
            for name, same in HIERARCHICAL_METRICS.items():
                found[name] = found[same]
                if same in intervals:
                    intervals[name] = intervals[same]
        counts, goal = self._sums.counts, self._decision.parsed_goal()
        positives, known = counts.true_positive + counts.false_negative, counts.known
        return Report(
            rows=counts.num_rows,
            rows_without_known_labels=counts.num_rows_excluded,
            rows_truncated=self._num_truncated,
            rows_fitted=self._num_fitted,
            metrics={name: found[name] for name in _METRICS if name in found},
            labels=dict(zip(names, self._labels(ranking), strict=True)),
            errors=ranking.errors,
            intervals={name: intervals[name] for name in _METRICS if name in intervals},
            labels_without_positives=_chosen(names, (positives == 0) & (known > 0)),
            labels_without_negatives=_chosen(names, (positives == known) & (known > 0)),
            goal=goal,
            goal_value=counted_value(counts, goal),
            promises=tuple(self._promises.checks()),
            reliability={
                name: one.to_json() for name, one in zip(names, ranking.reliability, strict=True)
            },
        )

    def _labels(self, ranking: RankingMetrics) -> list[LabelReport]:
        counts = self._sums.counts
        ends = label_intervals(counts) if self._intervals else {}
        rows = zip(
            counts.per_label(),
            self._decision.thresholds,
            ranking.reliability,
            ranking.labels,
            strict=True,
        )
        return [
            LabelReport(
                support=one.support,
                precision=one.precision,
                recall=one.recall,
                f1=one.f1,
                threshold=None if self._decision.kind == "top_k" else float(threshold),
                expected_calibration_error=bins.error,
                expected_calibration_error_if_calibrated=bins.error_if_calibrated,
                average_precision=areas.average_precision,
                roc_auc=areas.roc_auc,
                **{name: values[column] for name, values in ends.items()},
            )
            for column, (one, threshold, bins, areas) in enumerate(rows)
        ]


def report(
    decision: Decision,
    logits: npt.NDArray[np.float32],
    examples: Examples,
    rows_truncated: int = 0,
    *,
    intervals: bool = True,
) -> Report:
    """Build the report of one decision from logits.

    Parameters
    ----------
    decision
        Activation and thresholds.
    logits
        *Shape:* (N, L), float32, columns in the order of `decision.space`.
    examples
        N labelled examples; labels are matched by name.
    rows_truncated
        How many of the texts were cut.
    intervals
        As in `evaluate`.
    """
    evaluation = Evaluation(decision, len(examples), intervals=intervals)
    labels = required_labels(examples)
    step = window_rows(len(decision.space))
    for start in range(0, len(examples), step):
        rows = slice(start, start + step)
        some = labels.take(np.arange(len(examples))[rows])
        evaluation.update(examples.texts[rows], some, logits[rows])
    return replace(evaluation.report(), rows_truncated=rows_truncated)


def _chosen(names: Sequence[str], which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, which, strict=True) if is_chosen)
