"""The result of an evaluation: every metric with its interval, one row per label, and remarks.

Reliability diagrams plot the fraction of positives against the mean score, in bins.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from multihot.core.files import atomic_path, make_folder_of
from multihot.core.goals import Goal
from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_number,
    listed,
    printable,
    shown_labels,
)
from multihot.decision.promises import PromiseCheck
from multihot.errors import MissingExtraError, OptionError
from multihot.evaluation.intervals import Interval
from multihot.evaluation.plot_fonts import families_for
from multihot.evaluation.ranking import MAX_EXACT_CELLS

__all__ = ["LabelReport", "Report", "draw_reliability", "require_plots"]

_INTERVAL = " 95 % interval"


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
    average_precision: float | None = None
    roc_auc: float | None = None
    """Of the scores, whatever the threshold; binned where the metrics of all labels are."""


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
    promises: Sequence[PromiseCheck] = ()
    """Whether the limits held that the decision promises."""
    conclusion: str = ""
    """Of a training run: whether the model is good, was still learning, and what to try."""

    def to_json(self, *, reliability: bool = False) -> dict[str, Any]:
        """Return the report in the shape that `evaluate --json` prints.

        With `reliability`, each label has its reliability bins under that key.
        """
        labels: dict[str, dict[str, Any]] = {n: asdict(label) for n, label in self.labels.items()}
        if reliability:
            for name, bins in self.reliability.items():
                labels[name]["reliability"] = [dict(each) for each in bins]
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
            "promises": [check.to_json() for check in self.promises],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame({name: asdict(label) for name, label in self.labels.items()}, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        has_intervals = bool(self.intervals)
        of_metrics = [
            [name, _value(value, *self.intervals.get(name, (None, None)), wide=has_intervals)]
            for name, value in self.metrics.items()
        ]
        of_labels, left_out = self._label_rows(all_labels=all_labels)
        heads = ["label", "support", "precision", "recall", "threshold", _head("f1", has_intervals)]
        lines = aligned(["metric", _head("value", has_intervals)], of_metrics, width=width)
        lines += ["", *aligned(heads, of_labels, width=width), *left_out]
        return "\n".join([*lines, "", *self.remarks()])

    def _label_rows(self, *, all_labels: bool) -> tuple[list[list[str]], list[str]]:
        names, left_out = shown_labels(
            {name: label.support for name, label in self.labels.items()}, every=all_labels
        )
        rows = []
        for name in names:
            label = self.labels[name]
            numbers = [label.precision, label.recall, label.threshold]
            f1 = _value(label.f1, label.f1_low, label.f1_high, wide=bool(self.intervals))
            rows.append([name, str(label.support), *map(format_number, numbers), f1])
        return rows, left_out

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        remarks = [f"{counted(self.rows, 'text')}."]
        if self.rows_fitted:
            remarks.append(
                f"The decision was fitted on {self.rows_fitted} of these texts: the figures are "
                "optimistic."
            )
        if (
            self.goal is not None
            and self.goal_value is not None
            and str(self.goal) not in self.metrics
        ):
            remarks.append(_reached(self.goal, self.goal_value))
        remarks += [check.sentence() for check in self.promises]
        if self.rows_without_known_labels:
            remarks.append(
                f"{counted(self.rows_without_known_labels, 'text')} without a known label "
                f"{'was' if self.rows_without_known_labels == 1 else 'were'} excluded."
            )
        if self.rows_truncated:
            cut = "text is" if self.rows_truncated == 1 else "texts are"
            remarks.append(f"{self.rows_truncated} {cut} longer than the model reads, and cut.")
        if self.errors:
            bounds = ", ".join(f"{name} {bound:.1g}" for name, bound in self.errors.items())
            remarks.append(
                f"More than {MAX_EXACT_CELLS} scores: some metrics were computed from binned scores; "
                f"their errors are at most {bounds}."
            )
        return remarks + self._remarks_on_labels()

    def _remarks_on_labels(self) -> list[str]:
        remarks = []
        if undefined := [name for name, label in self.labels.items() if label.f1 is None]:
            remarks.append(
                f"Labels that are neither true nor predicted (undefined): {listed(undefined)}."
            )
        unknown = set(undefined)
        if predicted := [n for n in self.labels_without_positives if n not in unknown]:
            remarks.append(
                "Labels that are predicted and never true (F1 is 0 for any model, recall and ROC AUC are "
                f"undefined): {listed(predicted)}."
            )
        if self.labels_without_negatives:
            remarks.append(
                "Labels that are true wherever they are known (ROC AUC is undefined, precision is 1 or "
                f"undefined): {listed(self.labels_without_negatives)}."
            )
        return remarks


def _value(value: float | None, low: float | None, high: float | None, *, wide: bool) -> str:
    """Return a figure, and its interval or, where others have one, the room for it."""
    interval = "" if low is None or high is None else f"({low:.3f} to {high:.3f})"
    return f"{format_number(value):>5} {interval:<16}" if wide else format_number(value)


def _head(name: str, has_intervals: bool) -> str:
    return f"{name:>5} {_INTERVAL:<16}" if has_intervals else name


def _reached(goal: Goal, value: float) -> str:
    """Describe what is reached of a goal that is not a metric."""
    if goal.name == "cost":
        return f"Goal {goal}: mean cost {-value:.4f} per text."
    if goal.name == "top_k":
        return f"Goal {goal}: recall {value:.3f}."
    bound, other = ("precision", "recall") if goal.name == "precision" else ("recall", "precision")
    of_labels = ", averaged over labels" if goal.each_label else ""
    if value < 0:
        return f"Goal {goal} not met: {bound} is {-value:.3f} too low{of_labels}."
    return f"Goal {goal} met: {other} {value:.3f}{of_labels}."


_FORMATS = (".png", ".svg", ".pdf")
_MAX_COLUMNS = 4
_INCHES = 2.6  # of one diagram


def require_plots(path: Path) -> None:
    """Raise before any work is done when a picture could not be drawn to `path`.

    Raises `MissingExtraError` without matplotlib and `OptionError` for an ending that is no format.
    """
    if path.suffix.lower() not in _FORMATS:
        raise OptionError(
            f"A picture cannot be written to {path}; expected a name that ends in "
            f"{', '.join(_FORMATS)}."
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plots", "Drawing reliability diagrams")


def draw_reliability(report: Report, path: Path) -> list[str]:
    """Draw one diagram for each label: mean score and fraction of positives in bins of equal mass.

    Returns notes: labels whose names no installed font can draw have their number instead.

    Parameters
    ----------
    report
        Of `evaluate`.
    path
        Where to; the ending chooses the format, png, svg or pdf.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    OptionError
        The ending is no format.
    StorageError
        The file cannot be written.
    """
    require_plots(path)
    from matplotlib.figure import Figure

    num_columns = min(_MAX_COLUMNS, max(1, len(report.reliability)))
    num_rows = max(1, math.ceil(len(report.reliability) / num_columns))
    figure = Figure(figsize=(_INCHES * num_columns, _INCHES * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(report.reliability) :]:
        axis.set_axis_off()
    titles, families, notes = _titles(list(report.reliability))
    for axis, (name, title) in zip(axes.flat, titles.items(), strict=False):
        _draw(axis, report, name, title, families)
    figure.supxlabel("mean score")
    figure.supylabel("fraction of positives")
    make_folder_of(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
    return notes


def _titles(names: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return what stands above the diagram of each label, the font families for it, and notes."""
    shown = {name: printable(name) for name in names}
    families, missing = families_for(shown.values())
    if not missing:
        return shown, families, []
    numbered = {
        name: f"label {number}"
        for number, name in enumerate(names, start=1)
        if not missing.isdisjoint(shown[name])
    }
    key = listed([f"{title} is {name}" for name, title in numbered.items()])
    note = (
        f"No installed font has all characters of {counted(len(numbered), 'label name')}, drawn as "
        f"{'a number' if len(numbered) == 1 else 'numbers'} instead: {key}. Install a font that has "
        "them, such as Noto Sans CJK for Chinese."
    )
    return {**shown, **numbered}, families, [note]


def _draw(axis: Any, report: Report, name: str, title: str, families: Sequence[str]) -> None:
    bins, label = report.reliability[name], report.labels[name]
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    scores, fractions = [[one[key] for one in bins] for key in ("mean_score", "share_true")]
    axis.plot(scores, fractions, marker="o", markersize=3, linewidth=1)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    title = title.replace("$", r"\$")  # no mathematics
    error, calibrated = (
        label.expected_calibration_error,
        label.expected_calibration_error_if_calibrated,
    )
    if error is not None:
        title += f"\nECE {error:.3f}"
    if calibrated is not None:
        title += f" (if calibrated {calibrated:.3f})"
    axis.set_title(title, fontsize=8, fontfamily=families)
