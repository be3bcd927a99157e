"""Scores and truth to a report: every metric, one row per label, and whether the data were honest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.records import Examples
from multihot.decision.decision import Decision, rows_fitted
from multihot.decision.metrics import Counts
from multihot.decision.ranking import ranking_metrics
from multihot.errors import DataError
from multihot.predictor import Predictor

__all__ = ["LabelReport", "Report", "evaluate", "report"]

_WINDOW_ROWS = 1024  # texts sorted by length and scored together


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

    def to_json(self) -> dict[str, Any]:
        """Return the report in the shape that `evaluate --json` prints."""
        return {
            "rows": self.rows,
            "rows_without_known_labels": self.rows_without_known_labels,
            "rows_truncated": self.rows_truncated,
            "rows_fitted": self.rows_fitted,
            "fitted_here": self.rows_fitted > 0,
            "metrics": {
                name: {"value": value, "low": None, "high": None}
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
        if undefined := [name for name, label in self.labels.items() if label.f1 is None]:
            found.append(f"No text has or gets these labels (undefined): {', '.join(undefined)}.")
        return found


def evaluate(
    predictor: Predictor,
    examples: Examples,
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
        N labelled examples; labels are matched by name.
    threshold
        Overrides the stored thresholds for this call.
    progress
        Receives the number of texts scored so far, now and then.
    """
    decision = predictor.decision
    if threshold is not None:
        decision = decision.with_threshold(threshold)
    parts = [np.zeros((0, len(decision.space)), dtype=np.float32)]
    num_truncated = 0
    for start in range(0, len(examples), _WINDOW_ROWS):
        logits, truncated = predictor.logits(examples.texts[start : start + _WINDOW_ROWS])
        parts.append(logits)
        num_truncated += int(truncated.sum())
        if progress is not None:
            progress(start + len(logits))
    return report(decision, np.concatenate(parts), examples, num_truncated)


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
    if examples.labels is None:
        raise DataError("has no labels to compare with.", path=examples.source)
    labels = examples.labels.aligned_to(decision.space)
    scores = decision.scores(logits)
    counts = Counts(len(decision.space))
    counts.update(labels.values, decision.decide(scores))
    per_label = zip(decision.space.names, counts.per_label(), decision.thresholds, strict=True)
    return Report(
        rows=counts.num_rows,
        rows_without_known_labels=counts.num_rows_excluded,
        rows_truncated=rows_truncated,
        rows_fitted=rows_fitted(decision, examples.texts, labels),
        metrics={**counts.metrics(), **ranking_metrics(labels.values, scores)},
        labels={
            name: LabelReport(one.support, one.precision, one.recall, one.f1, float(threshold))
            for name, one, threshold in per_label
        },
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
