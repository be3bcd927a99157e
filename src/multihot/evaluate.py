"""Scores and truth to a report: every metric with its interval, and whether the data were honest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from multihot.data.labelled_file import LabelledFile
from multihot.data.records import Examples
from multihot.decision.decision import Decision, rows_fitted
from multihot.decision.goal_values import counted_value
from multihot.decision.intervals import Interval, corrected_interval
from multihot.decision.metrics import COUNT_METRICS, Counts
from multihot.decision.ranking import MAX_EXACT_CELLS, Ranking, RankingMetrics
from multihot.decision.replicates import ReplicateSums, num_replicates
from multihot.decision.row_statistics import (
    Losses,
    metrics_of_sums,
    num_statistics,
    row_statistics,
)
from multihot.errors import DataError
from multihot.evaluation_report import LabelReport, Report
from multihot.labels import LabelMatrix
from multihot.predictor import Predictor

__all__ = ["Evaluation", "LabelReport", "Report", "evaluate", "labelled_chunks", "report"]

_WINDOW_ROWS = 1024  # texts read, sorted by length and scored together

_METRICS = (
    *COUNT_METRICS,
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


class Evaluation:
    """A report in the making: rows are added chunk by chunk, and the chunks make no difference.

    Memory does not grow with the rows: counts are whole numbers, intervals come from sums over rows
    in each replicate, and see `Ranking` for the rest.
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
        self._counts = Counts(num_labels)
        self._losses = Losses()
        self._ranking = Ranking(
            num_rows, num_labels, max_exact_cells=max_exact_cells, intervals=intervals, seed=seed
        )
        self._sums: ReplicateSums | None = None
        if intervals:
            replicates = num_replicates(num_rows, num_labels)
            self._sums = ReplicateSums(num_statistics(num_labels), replicates, seed)
        self._num_fitted = self._num_truncated = 0

    def update(
        self,
        texts: Sequence[str],
        labels: LabelMatrix,
        logits: npt.NDArray[np.float32],
        num_truncated: int = 0,
    ) -> None:
        """Add rows: N texts, their labels, their logits (N, L), and how many texts were cut."""
        labels = labels.aligned_to(self._decision.space).hard()
        scores = self._decision.scores(logits)
        decided = self._decision.decide(scores)
        self._counts.update(labels.values, decided)
        self._losses.update(labels.values, scores)
        self._ranking.update(labels.values, scores)
        if self._sums is not None:
            self._sums.update(row_statistics(labels.values, decided, scores))
        self._num_truncated += num_truncated
        self._num_fitted += rows_fitted(self._decision, texts, labels)

    def report(self) -> Report:
        """Return the report; after this no rows can be added."""
        names, ranking = self._decision.space.names, self._ranking.result()
        found = {**self._counts.metrics(), **ranking.metrics, **self._losses.metrics()}
        intervals = {**self._intervals(), **ranking.intervals}
        positives = self._counts.true_positive + self._counts.false_negative
        known, goal = self._counts.known, self._decision.parsed_goal()
        return Report(
            rows=self._counts.num_rows,
            rows_without_known_labels=self._counts.num_rows_excluded,
            rows_truncated=self._num_truncated,
            rows_fitted=self._num_fitted,
            metrics={name: found[name] for name in _METRICS if name in found},
            labels=dict(zip(names, self._labels(ranking), strict=True)),
            errors=ranking.errors,
            intervals={name: intervals[name] for name in _METRICS if name in intervals},
            labels_without_positives=_chosen(names, (positives == 0) & (known > 0)),
            labels_without_negatives=_chosen(names, (positives == known) & (known > 0)),
            goal=goal,
            goal_value=counted_value(self._counts, goal),
            reliability={
                name: one.to_json() for name, one in zip(names, ranking.reliability, strict=True)
            },
        )

    def _intervals(self) -> dict[str, Interval]:
        """Return the intervals of the metrics that are functions of sums over rows."""
        if self._sums is None:
            return {}
        drawn = metrics_of_sums(self._sums.result())
        found = {name: corrected_interval(v, self._counts.num_rows) for name, v in drawn.items()}
        return {name: interval for name, interval in found.items() if interval is not None}

    def _labels(self, ranking: RankingMetrics) -> list[LabelReport]:
        ends = self._counts.label_intervals() if self._sums is not None else {}
        rows = zip(
            self._counts.per_label(), self._decision.thresholds, ranking.reliability, strict=True
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
                **{name: values[column] for name, values in ends.items()},
            )
            for column, (one, threshold, bins) in enumerate(rows)
        ]


def evaluate(
    predictor: Predictor,
    examples: Examples | LabelledFile,
    *,
    threshold: float | None = None,
    intervals: bool = True,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Score a model on labelled examples.

    Parameters
    ----------
    predictor
        The model.
    examples
        N labelled examples; labels are matched by name. A `LabelledFile` is read while it is scored,
        so that memory does not grow with N.
    threshold
        Overrides the stored thresholds for this call.
    intervals
        Whether to compute 95 % intervals, and what perfectly calibrated scores would show.
    seed
        Of the resamples; the same seed and texts give the same intervals.
    progress
        Receives the number of texts scored so far, now and then.
    """
    decision = predictor.decision
    if threshold is not None:
        decision = decision.with_threshold(threshold)
    evaluation = Evaluation(decision, len(examples), intervals=intervals, seed=seed)
    num_scored = 0
    for chunk, labels in labelled_chunks(examples):
        logits, truncated = predictor.logits(chunk.texts)
        evaluation.update(chunk.texts, labels, logits, int(truncated.sum()))
        num_scored += len(chunk)
        if progress is not None:
            progress(num_scored)
    return evaluation.report()


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
    labels = _labels_of(examples)
    for start in range(0, len(examples), _WINDOW_ROWS):
        rows = slice(start, start + _WINDOW_ROWS)
        some = labels.take(np.arange(len(examples))[rows])
        evaluation.update(examples.texts[rows], some, logits[rows])
    return replace(evaluation.report(), rows_truncated=rows_truncated)


def labelled_chunks(
    examples: Examples | LabelledFile,
) -> Iterator[tuple[Examples, LabelMatrix]]:
    """Go through examples in pieces that are scored together, with their labels.

    Raises `DataError` when there are none.
    """
    if isinstance(examples, LabelledFile):
        for chunk in examples.chunks(_WINDOW_ROWS):
            yield chunk, _labels_of(chunk)
        return
    for start in range(0, len(examples), _WINDOW_ROWS):
        chunk = examples.take(range(start, min(start + _WINDOW_ROWS, len(examples))))
        yield chunk, _labels_of(chunk)


def _labels_of(examples: Examples) -> LabelMatrix:
    if examples.labels is None:
        raise DataError("has no labels to compare with.", path=examples.source)
    return examples.labels


def _chosen(names: Sequence[str], which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, which, strict=True) if is_chosen)
