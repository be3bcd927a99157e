"""What an evaluation found: every metric with its interval, one row per label, and what to know beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from multihot.core.goals import Goal
from multihot.evaluation.intervals import Interval
from multihot.evaluation.ranking import MAX_EXACT_CELLS

__all__ = ["LabelReport", "Report"]


@dataclass(frozen=True)
class LabelReport:
    """One label's row; `None` where a figure is undefined (0/0) or was not computed."""

    support: int
    """Texts that have the label."""
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float | None
    precision_low: float | None = None
    precision_high: float | None = None
    """The ends of the 95 % interval."""
    recall_low: float | None = None
    recall_high: float | None = None
    f1_low: float | None = None
    f1_high: float | None = None
    expected_calibration_error: float | None = None
    expected_calibration_error_if_calibrated: float | None = None
    """What perfectly calibrated scores of so many texts would show on average."""


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
    """Fractions between 0 and 1, but for `log_loss`; `None` where undefined."""
    labels: Mapping[str, LabelReport]
    errors: Mapping[str, float] = field(default_factory=dict)
    """How far the exact value may be from a metric that was binned (see `Ranking`); else empty."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """95 % intervals of the metrics; not of those that are undefined, or too large for one."""
    labels_without_positives: Sequence[str] = ()
    """Labels with known cells none of which is true."""
    labels_without_negatives: Sequence[str] = ()
    """Labels with known cells all of which are true."""
    reliability: Mapping[str, Sequence[Mapping[str, float | int]]] = field(default_factory=dict)
    """The reliability bins of each label, from the lowest scores to the highest."""
    goal: Goal | None = None
    """What the decision was fitted for."""
    goal_value: float | None = None
    """What it reaches of it, see `counted_value`; `None` where that is undefined."""

    def to_json(self, *, reliability: bool = False) -> dict[str, Any]:
        """Return the report in the shape that `evaluate --json` prints.

        With `reliability`, each label has its reliability bins under that key.
        """
        labels: dict[str, dict[str, Any]] = {n: asdict(one) for n, one in self.labels.items()}
        if reliability:
            for name, bins in self.reliability.items():
                labels[name]["reliability"] = [dict(one) for one in bins]
        return {
            "rows": self.rows,
            "rows_without_known_labels": self.rows_without_known_labels,
            "rows_truncated": self.rows_truncated,
            "rows_fitted": self.rows_fitted,
            "fitted_here": self.rows_fitted > 0,
            "metrics": {
                name: {
                    "value": value,
                    "low": self.intervals[name][0] if name in self.intervals else None,
                    "high": self.intervals[name][1] if name in self.intervals else None,
                    "error": self.errors.get(name, 0.0),
                }
                for name, value in self.metrics.items()
            },
            "labels": labels,
        }

    def __str__(self) -> str:
        wide = max(24, *(len(name) + 2 for name in self.metrics))
        lines = [f"{'metric':<{wide}}{'value':>8}" + ("   95 %" if self.intervals else "")]
        for name, value in self.metrics.items():
            interval = _interval(*self.intervals.get(name, (None, None)))
            lines.append(f"{name:<{wide}}{_number(value):>8}{interval}")
        width = max(6, *(len(name) for name in self.labels)) + 2
        heads = ("support", "precision", "recall", "threshold", "f1")
        of_f1 = "   95 %" if self.intervals else ""
        lines += ["", f"{'label':<{width}}" + "".join(f"{head:>11}" for head in heads) + of_f1]
        for name, label in self.labels.items():
            numbers = [label.precision, label.recall, label.threshold, label.f1]
            cells = [str(label.support), *map(_number, numbers)]
            interval = _interval(label.f1_low, label.f1_high)
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in cells) + interval)
        return "\n".join([*lines, "", *self.remarks()])

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        found = [f"{self.rows} texts."]
        if self.rows_fitted:
            found.append(
                f"The decision was fitted on {self.rows_fitted} of these texts: the figures are "
                "optimistic."
            )
        if (
            self.goal is not None
            and self.goal_value is not None
            and str(self.goal) not in self.metrics
        ):
            found.append(_reached(self.goal, self.goal_value))
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
        return found + self._remarks_on_labels()

    def _remarks_on_labels(self) -> list[str]:
        found = []
        if undefined := [name for name, label in self.labels.items() if label.f1 is None]:
            found.append(f"No text has or gets these labels (undefined): {', '.join(undefined)}.")
        if given := [n for n in self.labels_without_positives if n not in undefined]:
            found.append(
                "No text has these labels, but some get them (F1 is 0 whatever the model knows, recall "
                f"and ROC areas are undefined): {', '.join(given)}."
            )
        if self.labels_without_negatives:
            found.append(
                "Every text with a known cell has these labels (ROC areas are undefined, precision "
                f"is 1 or undefined): {', '.join(self.labels_without_negatives)}."
            )
        return found


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"


def _reached(goal: Goal, value: float) -> str:
    """Say what is reached of a goal that is no metric."""
    if goal.name == "cost":
        return f"Goal {goal}: mistakes cost {-value:.4f} a text."
    if goal.name == "top_k":
        return f"Goal {goal}: a recall of {value:.3f}."
    bound, other = ("precision", "recall") if goal.name == "precision" else ("recall", "precision")
    of_labels = ", in the mean over labels" if goal.each_label else ""
    if value < 0:
        return f"Goal {goal}: missed, the {bound} is {-value:.3f} too low{of_labels}."
    return f"Goal {goal}: a {other} of {value:.3f}{of_labels}."
