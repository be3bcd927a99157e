"""Scores and truth to a report: every metric, one row per label, and whether the data were honest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.labelled_file import LabelledFile
from multihot.data.records import Examples
from multihot.decision.decision import Decision, rows_fitted
from multihot.decision.metrics import Counts
from multihot.decision.ranking import MAX_EXACT_CELLS, Ranking
from multihot.errors import DataError
from multihot.labels import LabelMatrix
from multihot.predictor import Predictor

__all__ = ["Evaluation", "LabelReport", "Report", "evaluate", "report"]

_WINDOW_ROWS = 1024  # texts read, sorted by length and scored together


@dataclass(frozen=True)
class LabelReport:
    """One label's row; `None` where a figure is undefined (0/0)."""

    support: int
    """Texts that have the label."""
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float


@dataclass(frozen=True)
class Report:
    """The result of an evaluation; `print` it or take `to_json()`."""

    rows: int
    """Texts that count: those with at least one known label cell."""
    rows_without_known_labels: int
    rows_truncated: int
    rows_fitted: int
    """Texts among them that the thresholds were fitted on; more than 0 makes the figures optimistic."""
    metrics: Mapping[str, float | None]
    """Fractions between 0 and 1; `None` where undefined."""
    labels: Mapping[str, LabelReport]
    errors: Mapping[str, float] = field(default_factory=dict)
    """How far the exact value may be from a metric that was binned (see `Ranking`); else empty."""

    def to_json(self) -> dict[str, Any]:
        """Return the report in the shape that `evaluate --json` prints."""
        return {
            "rows": self.rows,
            "rows_without_known_labels": self.rows_without_known_labels,
            "rows_truncated": self.rows_truncated,
            "rows_fitted": self.rows_fitted,
            "fitted_here": self.rows_fitted > 0,
            "metrics": {
                name: {
                    "value": value,
                    "low": None,
                    "high": None,
                    "error": self.errors.get(name, 0.0),
                }
                for name, value in self.metrics.items()
            },
            "labels": {name: vars(label) for name, label in self.labels.items()},
        }

    def __str__(self) -> str:
        lines = [f"{'metric':<24}{'value':>8}"]
        lines += [f"{name:<24}{_number(value):>8}" for name, value in self.metrics.items()]
        width = max(6, *(len(name) for name in self.labels)) + 2
        heads = ("support", "precision", "recall", "f1", "threshold")
        lines += ["", f"{'label':<{width}}" + "".join(f"{head:>11}" for head in heads)]
        for name, label in self.labels.items():
            numbers = [label.precision, label.recall, label.f1, label.threshold]
            cells = [str(label.support), *map(_number, numbers)]
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in cells))
        return "\n".join([*lines, "", *self.remarks()])

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        found = [f"{self.rows} texts."]
        if self.rows_fitted:
            found.append(
                f"The thresholds were fitted on {self.rows_fitted} of these texts: the figures are "
                "optimistic."
            )
        if self.rows_without_known_labels:
            found.append(f"{self.rows_without_known_labels} texts without a known label left out.")
        if self.rows_truncated:
            found.append(f"{self.rows_truncated} texts were cut to the model's max_length.")
        if self.errors:
            bounds = ", ".join(f"{name} {bound:.1g}" for name, bound in self.errors.items())
            found.append(
                f"More than {MAX_EXACT_CELLS} scores: some metrics were computed from binned scores, "
                f"and the exact values are at most this far away: {bounds}."
            )
        if undefined := [name for name, label in self.labels.items() if label.f1 is None]:
            found.append(f"No text has or gets these labels (undefined): {', '.join(undefined)}.")
        return found


class Evaluation:
    """A report in the making: rows are added chunk by chunk, and the chunks make no difference.

    Memory does not grow with the rows: counts are whole numbers, and see `Ranking` for the rest.
    """

    def __init__(
        self, decision: Decision, num_rows: int, *, max_exact_cells: int = MAX_EXACT_CELLS
    ) -> None:
        num_labels = len(decision.space)
        self._decision = decision
        self._counts = Counts(num_labels)
        self._ranking = Ranking(num_rows, num_labels, max_exact_cells=max_exact_cells)
        self._num_fitted = self._num_truncated = 0

    def update(
        self,
        texts: Sequence[str],
        labels: LabelMatrix,
        logits: npt.NDArray[np.float32],
        num_truncated: int = 0,
    ) -> None:
        """Add rows: N texts, their labels, their logits (N, L), and how many texts were cut."""
        labels = labels.aligned_to(self._decision.space)
        scores = self._decision.scores(logits)
        self._counts.update(labels.values, self._decision.decide(scores))
        self._ranking.update(labels.values, scores)
        self._num_truncated += num_truncated
        self._num_fitted += rows_fitted(self._decision, texts, labels)

    def report(self) -> Report:
        """Return the report; after this no rows can be added."""
        decision, ranking = self._decision, self._ranking.result()
        rows = zip(decision.space.names, self._counts.per_label(), decision.thresholds, strict=True)
        return Report(
            rows=self._counts.num_rows,
            rows_without_known_labels=self._counts.num_rows_excluded,
            rows_truncated=self._num_truncated,
            rows_fitted=self._num_fitted,
            metrics={**self._counts.metrics(), **ranking.metrics},
            labels={
                name: LabelReport(one.support, one.precision, one.recall, one.f1, float(threshold))
                for name, one, threshold in rows
            },
            errors=ranking.errors,
        )


def evaluate(
    predictor: Predictor,
    examples: Examples | LabelledFile,
    *,
    threshold: float | None = None,
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
    progress
        Receives the number of texts scored so far, now and then.
    """
    decision = predictor.decision
    if threshold is not None:
        decision = decision.with_threshold(threshold)
    evaluation = Evaluation(decision, len(examples))
    num_scored = 0
    for chunk in _chunks(examples):
        logits, truncated = predictor.logits(chunk.texts)
        evaluation.update(chunk.texts, _labels_of(chunk), logits, int(truncated.sum()))
        num_scored += len(chunk)
        if progress is not None:
            progress(num_scored)
    return evaluation.report()


def report(
    decision: Decision, logits: npt.NDArray[np.float32], examples: Examples, rows_truncated: int = 0
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
    """
    evaluation = Evaluation(decision, len(examples))
    labels = _labels_of(examples)
    for start in range(0, len(examples), _WINDOW_ROWS):
        rows = slice(start, start + _WINDOW_ROWS)
        some = labels.take(np.arange(len(examples))[rows])
        evaluation.update(examples.texts[rows], some, logits[rows])
    return replace(evaluation.report(), rows_truncated=rows_truncated)


def _chunks(examples: Examples | LabelledFile) -> Iterator[Examples]:
    if isinstance(examples, LabelledFile):
        yield from examples.chunks(_WINDOW_ROWS)
        return
    for start in range(0, len(examples), _WINDOW_ROWS):
        yield examples.take(range(start, min(start + _WINDOW_ROWS, len(examples))))


def _labels_of(examples: Examples) -> LabelMatrix:
    if examples.labels is None:
        raise DataError("has no labels to compare with.", path=examples.source)
    return examples.labels


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
