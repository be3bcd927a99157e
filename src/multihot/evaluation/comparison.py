"""What a comparison of two models found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.text_tables import format_number
from multihot.evaluation.paired_tests import Difference

__all__ = ["Comparison", "LabelDifference"]

_HALF_A_POINT = 0.005
_SMALLER_IS_BETTER = ("hamming_loss", "brier_score", "log_loss")


@dataclass(frozen=True)
class LabelDifference:
    """The F1 of one label by both models."""

    support: int
    """Texts that have the label."""
    f1: Difference
    p_value_holm: float | None
    """The p value with Holm's correction over all labels."""


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

    def __str__(self) -> str:
        lines = [f"A = {self.first}", f"B = {self.second}", ""]
        wide = max(len(name) for name in self.metrics) + 2
        lines.append(f"{'metric':<{wide}}{'A':>7}{'B':>8}   {'A - B (95 %)':<30}{'p':>7}")
        for name, one in self.metrics.items():
            lines.append(f"{name:<{wide}}{_row(one)}{_chance(one.p_value):>7}")
        width = max(11, *(len(name) + 2 for name in self.labels))
        head = f"{'f1 of label':<{width}}{'support':>8}{'A':>8}{'B':>8}   {'A - B (95 %)':<30}"
        lines += ["", f"{head}{'p':>7}{'Holm':>7}"]
        for name, label in self.labels.items():
            chances = f"{_chance(label.f1.p_value):>7}{_chance(label.p_value_holm):>7}"
            lines.append(f"{name:<{width}}{label.support:>8} {_row(label.f1)}{chances}")
        return "\n".join([*lines, "", *self.remarks()])

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the figures, in sentences."""
        found = [f"{self.rows} texts, {len(self.labels)} labels."]
        if self.labels_left_out:
            found.append(
                f"Left out, because not both models know them: {', '.join(self.labels_left_out)}."
            )
        for name, fitted in zip("AB", self.rows_fitted, strict=True):
            if fitted:
                found.append(
                    f"The decision of {name} was fitted on {fitted} of these texts: the comparison "
                    f"favours {name}."
                )
        found += [self._visible(name) for name in ("jaccard", "micro_f1", "macro_f1")]
        if absent := [name for name, one in self.labels.items() if not one.support]:
            found.append(
                f"No text has these labels, so their F1 says nothing: {', '.join(absent)}."
            )
        clear = [n for n, one in self.labels.items() if (one.p_value_holm or 1.0) < 0.05]
        found.append(
            f"Labels whose F1 differs (5 %, Holm): {', '.join(clear)}."
            if clear
            else "No label's F1 differs at the 5 % level with Holm's correction."
        )
        smaller = ", ".join(name for name in _SMALLER_IS_BETTER if name in self.metrics)
        found.append(f"Smaller is better for {smaller}.")
        return found

    def _visible(self, name: str) -> str:
        one = self.metrics[name]
        needed = one.rows_needed(_HALF_A_POINT, self.rows)
        if one.visible is None or needed is None:
            return f"{name}: these texts do not say which differences could be seen."
        return (
            f"{name}: with {self.rows} rows you can see differences of about {100 * one.visible:.1f} "
            f"points (95 %, power 80 %); you would need about {_rounded(needed)} rows for 0.5 points."
        )


def _row(one: Difference) -> str:
    """Return both figures and the difference with its interval in columns."""
    values = "".join(f"{format_number(value, 4):>8}" for value in (one.first, one.second))[1:]
    difference = "-" if one.difference is None else f"{one.difference:+.4f}"
    if one.low is not None and one.high is not None:
        difference += f" ({one.low:+.4f} to {one.high:+.4f})"
    return f"{values}   {difference:<30}"


def _chance(value: float | None) -> str:
    if value is not None and value < 0.00005:  # from the normal law; never 0
        return "<0.0001"
    return format_number(value, 4)


def _rounded(number: int) -> int:
    """Return the number with two digits: it is an estimate."""
    return int(float(f"{number:.1e}"))
