"""Reliability diagrams: the fraction of positives against the mean score, in bins."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

from multihot.core.files import storage_errors
from multihot.errors import MissingExtraError, OptionError
from multihot.evaluation.report import Report

__all__ = ["draw_reliability", "require_plots"]

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


def draw_reliability(report: Report, path: Path) -> None:
    """Draw one diagram for each label: mean score and fraction of positives in bins of equal mass.

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
    for axis, name in zip(axes.flat, report.reliability, strict=False):
        _draw(axis, report, name)
    figure.supxlabel("mean score")
    figure.supylabel("fraction of positives")
    stage = path.with_name(f".{path.name}.writing{path.suffix}")
    with storage_errors(path):
        try:
            figure.savefig(stage, dpi=150)
            stage.replace(path)
        finally:
            stage.unlink(missing_ok=True)


def _draw(axis: Any, report: Report, name: str) -> None:
    bins, label = report.reliability[name], report.labels[name]
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    scores, fractions = [[one[key] for one in bins] for key in ("mean_score", "share_true")]
    axis.plot(scores, fractions, marker="o", markersize=3, linewidth=1)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    title = name.replace("$", r"\$")  # no mathematics
    error, calibrated = (
        label.expected_calibration_error,
        label.expected_calibration_error_if_calibrated,
    )
    if error is not None:
        title += f"\nECE {error:.3f}"
    if calibrated is not None:
        title += f" (if calibrated {calibrated:.3f})"
    axis.set_title(title, fontsize=8)
