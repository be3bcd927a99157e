"""The result of comparing two models, as tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_number,
    listed,
    shown_labels,
)
from multihot.evaluation.paired_tests import Difference

__all__ = ["LOWER_IS_BETTER", "Comparison", "LabelDifference", "difference_cells"]

_HALF_A_POINT = 0.005
_DIFFERENCE = "A - B (95 % interval)"
LOWER_IS_BETTER = ("hamming_loss", "brier_score", "log_loss")


@dataclass(frozen=True)
class LabelDifference:
    """The F1 of one label by both models."""

    support: int
    """Texts that have the label."""
    f1: Difference
    p_value_holm: float | None
    """The p-value with Holm's correction over all labels."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same texts; `print` it or take `to_json()`."""

    first: str
    second: str
    rows: int
    """Texts with at least one known cell."""
    metrics: Mapping[str, Difference]
    labels: Mapping[str, LabelDifference]
    """The labels that both models know, in the order of the first."""
    labels_left_out: Sequence[str] = ()
    """Labels that only one of the models knows, or only the texts have."""
    rows_fitted: tuple[int, int] = (0, 0)
    """Texts among them that the thresholds of each model were fitted on."""

    def to_json(self) -> dict[str, Any]:
        """Return the comparison in the shape that `compare --json` prints."""
        return {
            "first": self.first,
            "second": self.second,
            "rows": self.rows,
            "rows_fitted": list(self.rows_fitted),
            "labels_left_out": list(self.labels_left_out),
            "metrics": {
                name: {
                    **asdict(one),
                    "visible_difference": one.visible,
                    "rows_for_half_a_point": one.rows_needed(_HALF_A_POINT, self.rows),
                }
                for name, one in self.metrics.items()
            },
            "labels": {
                name: {
                    "support": one.support,
                    **asdict(one.f1),
                    "p_value_holm": one.p_value_holm,
                }
                for name, one in self.labels.items()
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame(self.to_json()["labels"], "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        lines = [f"A = {self.first}", f"B = {self.second}", ""]
        rows = [
            [name, *difference_cells(metric, 4), _p_value(metric.p_value)]
            for name, metric in self.metrics.items()
        ]
        lines += aligned(["metric", "A", "B", _DIFFERENCE, "p-value"], rows, width=width)
        shown, left_out = shown_labels(
            {name: label.support for name, label in self.labels.items()}, every=all_labels
        )
        rows = []
        for name in shown:
            label = self.labels[name]
            p_values = [_p_value(label.f1.p_value), _p_value(label.p_value_holm)]
            rows.append([name, str(label.support), *difference_cells(label.f1, 3), *p_values])
        heads = ["F1 of label", "support", "A", "B", _DIFFERENCE, "p", "Holm"]
        lines += ["", *aligned(heads, rows, width=width, groups=[1, 3, 2]), *left_out]
        return "\n".join([*lines, "", *self.remarks()])

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        remarks = [f"{counted(self.rows, 'text')}, {counted(len(self.labels), 'label')}."]
        if self.labels_left_out:
            remarks.append(
                f"Excluded, because not both models have them: {listed(self.labels_left_out)}."
            )
        for name, fitted in zip("AB", self.rows_fitted, strict=True):
            if fitted:
                remarks.append(
                    f"The decision of {name} was fitted on {fitted} of these texts: the comparison "
                    f"is biased in favour of {name}."
                )
        remarks += [self._detectable(name) for name in ("jaccard", "micro_f1", "macro_f1")]
        if absent := [name for name, one in self.labels.items() if not one.support]:
            remarks.append(
                f"No text has these labels, so their F1 is not informative: {listed(absent)}."
            )
        # A p-value is never 0.
        different = [n for n, one in self.labels.items() if (one.p_value_holm or 1.0) < 0.05]
        remarks.append(
            "Labels with a statistically significant difference in F1 (5 % level, Holm): "
            f"{listed(different)}."
            if different
            else "No label has a statistically significant difference in F1 (5 % level, Holm)."
        )
        lower = ", ".join(name for name in LOWER_IS_BETTER if name in self.metrics)
        remarks.append(f"Lower is better for {lower}.")
        return remarks

    def _detectable(self, name: str) -> str:
        one = self.metrics[name]
        needed = one.rows_needed(_HALF_A_POINT, self.rows)
        if one.visible is None or needed is None:
            return f"{name}: the minimum detectable difference cannot be estimated on these texts."
        return (
            f"{name}: the minimum detectable difference of {counted(self.rows, 'row')} is about "
            f"{100 * one.visible:.1f} points (5 % level, 80 % power); 0.5 points would take about "
            f"{_rounded(needed)} rows."
        )


def difference_cells(one: Difference, decimals: int) -> list[str]:
    """Return both figures, and the difference with its interval."""
    difference = "-" if one.difference is None else f"{one.difference:+.{decimals}f}"
    if one.low is not None and one.high is not None:
        difference += f" ({one.low:+.{decimals}f} to {one.high:+.{decimals}f})"
    return [*(format_number(value, decimals) for value in (one.first, one.second)), difference]


def _p_value(value: float | None) -> str:
    if value is not None and value < 0.00005:  # from the normal distribution; never 0
        return "<0.0001"
    return format_number(value, 4)


def _rounded(number: int) -> int:
    """Return the number with two digits: it is an estimate."""
    return int(float(f"{number:.1e}"))
