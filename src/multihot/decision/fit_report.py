"""Out-of-sample estimates of a fitted decision: cross-fitted values and the spread of thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from multihot.core.files import required_values
from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import DEFAULT_WIDTH, aligned, cut, fitted, format_number
from multihot.errors import ArtifactError

__all__ = ["FitReport"]


_NUMBER = float | int | None
_STORED = {
    "goal": str,
    "folds": int,
    "in_sample": _NUMBER,
    "cross_fitted": _NUMBER,
    "cross_fitted_at_half": _NUMBER,
    "bootstraps": int,
    "threshold_spread": dict,
    "goals": dict,
    "notes": list,
}
"""Keys of `fit_report` in `thresholds.json`, with their types."""


@dataclass(frozen=True)
class FitReport:
    """The result of `with_report`; `print` it or take `to_json()`.

    Cross-fitted: every row is decided by what was fitted without it. The difference to the value on
    the rows that fitted is the optimism of that value (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 17).
    """

    goal: str
    folds: int
    """Parts of the rows, each decided by what was fitted on the others."""
    in_sample: float | None
    """The goal on the rows that fitted the decision."""
    cross_fitted: float | None
    """The same, cross-fitted."""
    cross_fitted_at_half: float | None
    """With 0.5 for every label, cross-fitted where scores are calibrated."""
    bootstraps: int = 0
    """Bootstrap samples of the rows behind `threshold_spread`."""
    threshold_spread: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation of each label's threshold over the bootstrap samples; empty where none is fitted."""
    goals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Cross-fitted metrics of each goal that the decision could have been fitted for."""
    notes: tuple[str, ...] = ()
    """What could not be fitted as asked, in sentences."""

    @property
    def optimism(self) -> float | None:
        """In-sample minus cross-fitted value: how much the in-sample value overstates."""
        return _difference(self.in_sample, self.cross_fitted)

    @property
    def gain(self) -> float | None:
        """What fitting gained over 0.5 for every label, cross-fitted."""
        return _difference(self.cross_fitted, self.cross_fitted_at_half)

    def to_json(self) -> dict[str, Any]:
        """Return the key `fit_report` of `thresholds.json`."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FitReport:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        try:
            stored = required_values(content, _STORED)
            _check_numbers("threshold_spread", stored["threshold_spread"])
            for goal, values in stored["goals"].items():
                if not isinstance(values, dict):
                    raise ArtifactError(
                        f"{cut(f'goals.{goal}')} is {cut(values)}; expected a table."
                    )
                _check_numbers(f"goals.{goal}", values, may_lack=True)
            if wrong := [note for note in stored["notes"] if not isinstance(note, str)]:
                raise ArtifactError(f"'notes' holds {cut(wrong[0])}; expected sentences.")
        except ArtifactError as error:
            raise ArtifactError(f"The key 'fit_report' is invalid. {error}") from None
        return cls(**{**stored, "notes": tuple(stored["notes"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per goal with the metrics that tuning for it reaches as a pandas data frame."""
        return as_frame(self.goals, "goal")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH) -> str:
        """Return the sentences, and the table of goals for so many columns."""
        lines = [
            f"{self.goal} in-sample: {_reached(self.in_sample, self.goal)}; cross-fitted, on rows that did "
            f"not fit the decision ({self.folds} folds): {_reached(self.cross_fitted, self.goal)}.",
            f"With 0.5 for every label: {_reached(self.cross_fitted_at_half, self.goal)}. Cross-fitted "
            f"gain: {_signed(self.gain)}.",
        ]
        if self.threshold_spread:
            lines.append(self._spread())
        return "\n".join([*lines, *self.notes, *self._table(width)])

    def _spread(self) -> str:
        """Return the line of standard deviations, the largest first."""
        values = sorted(self.threshold_spread.items(), key=lambda pair: -pair[1])
        begin = f"Standard deviation of thresholds ({self.bootstraps} bootstrap samples)"
        if values[0][1] == values[-1][1]:
            return f"{begin}: {values[0][1]:.3f}."
        shown = ", ".join(f"{fitted(name, 40)} {value:.3f}" for name, value in values[:5])
        return f"{begin}: {shown}{f' and {len(values) - 5} smaller' if len(values) > 5 else ''}."

    def _table(self, width: int) -> list[str]:
        """Return the lines of the metrics that tuning for each goal reaches."""
        if not self.goals:
            return []
        metrics = list(dict.fromkeys(name for row in self.goals.values() for name in row))
        rows = [
            [goal, *(_reached(values.get(name), name) for name in metrics)]
            for goal, values in self.goals.items()
        ]
        return ["", *aligned(["tuned for", *metrics], rows, width=width)]


def _check_numbers(key: str, table: Mapping[str, Any], *, may_lack: bool = False) -> None:
    """Raise `ArtifactError` unless all values of a stored table are numbers, or `None` where allowed."""
    for name, value in table.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number and not (may_lack and value is None):
            raise ArtifactError(f"{cut(f'{key}.{name}')} is {cut(value)}; expected a number.")


def _reached(value: float | None, goal: str) -> str:
    """Return a value of a metric or goal; of a least precision or recall that is not met, how far."""
    is_missed = value is not None and value < 0 and ">=" in goal
    return f"{-value:.3f} too low" if value is not None and is_missed else format_number(value)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
