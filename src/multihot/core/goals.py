"""What thresholds are fitted for, and how: a goal such as `precision>=0.9`, a form such as `per_label`.

Letters: `P`, `R` between 0 and 1, `K` a number of labels, `FP`, `FN` costs, `T` from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from multihot.core.files import read_table
from multihot.core.text_tables import cut, format_number, listed, printable
from multihot.errors import OptionError

__all__ = [
    "GOALS",
    "GOAL_FORMS",
    "Costs",
    "Goal",
    "frequency_fraction",
    "is_fitted",
    "parse_goal",
    "parse_thresholds",
    "read_costs",
]

GOALS = ("micro_f1", "macro_f1", "jaccard", "subset_accuracy")
"""Metrics that thresholds can be fitted for and that can choose the best epoch."""

GOAL_FORMS = (*GOALS, "precision>=P", "recall>=R", "top_k=K", "cost=FP:FN")
"""How every goal is written."""

Costs = Mapping[str, tuple[float, float]]
"""Cost of a false positive and of a false negative, by label name."""


@dataclass(frozen=True)
class Goal:
    """A goal; `str` gives the words that it was read from."""

    text: str
    name: str
    """One of `GOALS`, or `precision`, `recall`, `top_k`, `cost`."""
    level: float = 0.0
    """Least precision or recall, above 0 and at most 1."""
    num_labels: int = 0
    """Labels that every text gets (`top_k`)."""
    costs: tuple[tuple[float, float], ...] = ()
    """(false positive, false negative): one pair for all labels, or one per label in their order."""
    each_label: bool = False
    """Whether a least precision or recall is asked of every label alone, not of all cells together."""

    def __str__(self) -> str:
        return self.text

    @property
    def is_sum_over_labels(self) -> bool:
        """Whether every label's best threshold is best for the goal, whatever the other labels do."""
        return self.name in ("macro_f1", "cost") or self.each_label

    def of_each_label(self) -> Goal:
        """Return the goal that thresholds of their own are fitted for (see `each_label`)."""
        return replace(self, each_label=True) if self.name in ("precision", "recall") else self

    def of_label(self, column: int) -> Goal:
        """Return the goal of one label alone; only for goals that are sums over labels."""
        if self.name == "macro_f1":
            return replace(self, name="micro_f1")
        costs = self.costs if len(self.costs) < 2 else (self.costs[column],)
        return replace(self, costs=costs)

    def with_costs(self, table: Costs | None, names: Sequence[str]) -> Goal:
        """Return the goal with the costs of single labels; a label not in `table` keeps the others.

        Raises `OptionError` where the goal is no cost, or the table names an unknown label.
        """
        if table is None:
            return self
        if self.name != "cost":
            raise OptionError(
                f"'costs' is given, and the goal is {self.text}; expected the goal cost=FP:FN, such as "
                "cost=1:1, whose costs hold for labels that are not in the table."
            )
        _check_labels("'costs'", table, names)
        pairs = tuple(_checked_costs(f"costs.{n}", table.get(n, self.costs[0])) for n in names)
        return replace(self, costs=pairs)

    def shown(self, value: float | None, decimals: int = 3) -> str:
        """Return the value reached of the goal in words: what is negative was not met.

        See `decision.objective.counted_value`; `-` where it is undefined.
        """
        if value is None or value >= 0 or self.name not in ("precision", "recall"):
            return format_number(value, decimals)
        if self.each_label:
            return f"{self.level:g} not reached, on average {-value:.2f} too low"
        # Rounded down, so that what is not reached does not look as if it were.
        best = math.floor((self.level + value) * 1000 + 1e-6) / 1000
        return f"{self.level:g} not reached, best {best:g}"

    def with_value(self, value: float | None, decimals: int = 3) -> str:
        """Return the goal and the value reached of it, in words."""
        shown = self.shown(value, decimals)
        return f"{self}: {shown}" if "not reached" in shown else f"{self} {shown}"

    def require_labels(self, num_labels: int) -> None:
        """Raise `OptionError` when every text is to get more labels (`top_k`) than there are."""
        if self.num_labels > num_labels:
            raise OptionError(
                f"The goal is {self.text}, and there are {num_labels} labels; expected a smaller number."
            )


def parse_goal(text: str) -> Goal:
    """Return the goal that `text` names, one of `GOAL_FORMS`.

    `micro_f1`, `macro_f1`, `jaccard`, `subset_accuracy` are metrics. `precision>=P` is the largest
    recall at a precision of at least P, `recall>=R` the largest precision at a recall of at least R.
    `top_k=K` gives every text its K highest labels. `cost=FP:FN` is the least cost, where a false
    positive costs FP and a false negative FN; `cost` alone is `cost=1:1`.

    Raises `OptionError` for anything else.
    """
    text = text.strip() if isinstance(text, str) else text
    if text in GOALS:
        return Goal(text, text)
    if text == "cost":
        return Goal("cost=1:1", "cost", costs=((1.0, 1.0),))
    found = _parse_numbers(text) if isinstance(text, str) else None
    if found is not None:
        return found
    hint = ""
    if text in ("precision", "recall"):
        hint = f" On a command line, put it into quotes: '{text}>=0.9'."
    if isinstance(text, str) and any(
        sign in text for sign in ("@", "[", "abstained", "samples_recall")
    ):
        hint = (
            " Limits with a confidence, such as recall[LABEL]>=0.9@0.95, are for 'multihot decide'."
        )
    raise OptionError(f"'goal' is {cut(text)}; expected one of {', '.join(GOAL_FORMS)}.{hint}")


def _parse_numbers(text: str) -> Goal | None:
    """Return a goal with numbers in it, `None` where `text` is none or the numbers are no such."""
    name, mark, rest = text.partition(">=" if ">=" in text else "=")
    try:
        if mark == ">=" and name in ("precision", "recall") and 0 < float(rest) <= 1:
            return Goal(text, name, level=float(rest))
        if mark == "=" and name == "top_k" and int(rest) >= 1:
            return Goal(text, name, num_labels=int(rest))
        if mark == "=" and name == "cost":
            false_positive, false_negative = map(float, rest.split(":"))
            pair = _checked_costs("goal", (false_positive, false_negative))
            return Goal(text, name, costs=(pair,))
    except OptionError:
        raise
    except ValueError:
        return None
    return None


def read_costs(
    path: str | Path, names: Sequence[str] | None = None
) -> dict[str, tuple[float, float]]:
    """Read a table of costs: `label = [FP, FN]` in TOML, or the same as a JSON object (`.json`).

    With `names`, the labels that there are, it must name no others. Raises `OptionError`, with the
    path, when the file is missing or holds anything else.
    """
    table = read_table(Path(path), "costs")
    if names is not None:
        _check_labels(f"costs={path}", table, names)
    return {name: _checked_costs(f"{path}: {name}", pair) for name, pair in table.items()}


def _check_labels(what: str, table: Mapping[str, Any], names: Sequence[str]) -> None:
    allowed = set(names)
    if unknown := [name for name in table if name not in allowed]:
        raise OptionError(
            f"{what} names labels that are not known here: {listed(unknown)}. The labels are: "
            f"{listed(names)}"
        )


def _checked_costs(key: str, pair: Any) -> tuple[float, float]:
    is_pair = isinstance(pair, list | tuple) and len(pair) == 2
    if is_pair and all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair):
        false_positive, false_negative = (float(value) for value in pair)
        finite = math.isfinite(false_positive) and math.isfinite(false_negative)
        if finite and min(false_positive, false_negative) >= 0 < max(
            false_positive, false_negative
        ):
            return false_positive, false_negative
    raise OptionError(
        f"'{printable(key)}' is {cut(pair)}; expected two costs, of a false positive and of a false negative, at "
        "least 0 and not both 0."
    )


_NAMES = ("global", "per_label", "shrunk")
_BY_FREQUENCY = "by_frequency"

THRESHOLD_FORMS = (*_NAMES, f"{_BY_FREQUENCY}=T")
"""How thresholds that are fitted are written; `T` is a number from 0 to 1."""


def parse_thresholds(thresholds: str | float) -> str | float:
    """Return the option in the form in which it is stored.

    Raises `OptionError` for what is neither one of `THRESHOLD_FORMS` nor a number.
    """
    if not isinstance(thresholds, str) or thresholds in _NAMES:
        return thresholds
    name, _, number = thresholds.partition("=")
    try:
        fraction = float(number)
    except ValueError:
        fraction = -1.0
    if name != _BY_FREQUENCY or not 0 <= fraction <= 1:
        raise OptionError(
            f"'thresholds' is {cut(thresholds)}; expected {', '.join(THRESHOLD_FORMS)} (T from 0 to 1) or a number "
            "between 0 and 1."
        )
    return f"{_BY_FREQUENCY}={abs(fraction):g}"  # no sign before 0


def frequency_fraction(kind: str | float) -> float | None:
    """Return the `T` of `by_frequency=T`; of others `None`.

    Raises `OptionError` for a `T` that is no number from 0 to 1.
    """
    if not isinstance(kind, str) or not kind.startswith(f"{_BY_FREQUENCY}="):
        return None
    return float(str(parse_thresholds(kind)).partition("=")[2])


def is_fitted(kind: str) -> bool:
    """Return whether thresholds of this kind are fitted numbers: not given, not ranks."""
    return kind in _NAMES or frequency_fraction(kind) is not None
