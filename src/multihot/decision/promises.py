"""Limits that a decision was made to keep, and whether rows show that it does.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import required_values
from multihot.core.limits import Limit, parse_limit
from multihot.core.numeric import Z_95, wilson_interval
from multihot.core.text_tables import cut, format_number
from multihot.errors import ArtifactError, OptionError

__all__ = ["Promise", "PromiseCheck", "PromiseTally", "read_promises"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]

_STORED = {"limit": str, "rows": int, "value": float | int, "method": str}
"""Keys of each of the `promises` in `thresholds.json`, with their types."""


@dataclass(frozen=True)
class Promise:
    """A limit that was kept when the decision was fitted."""

    limit: str
    """As `parse_limit` reads it."""
    rows: int
    """Rows that it was made with: texts that have the label, texts that got it, or all texts."""
    value: float
    """Recall, precision or fraction that abstains of the decision on these rows."""
    method: str
    """`binomial`, `hoeffding_bentkus`, `learn_then_test`, or `conformal_risk_control` on average."""

    def parsed(self) -> Limit:
        """Return the limit."""
        found = parse_limit(self.limit)
        if found is None:
            raise OptionError(
                f"'limit' is {cut(self.limit)}; expected a limit such as recall[A]>=0.9."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return one of the `promises` of `thresholds.json`."""
        return asdict(self)


def read_promises(content: Any, names: Sequence[str]) -> tuple[Promise, ...]:
    """Read what `to_json` wrote of each; raise `ArtifactError` naming the key that is wrong."""
    if content is None:
        return ()
    if not isinstance(content, list):
        raise ArtifactError(f"The key 'promises' is {cut(content)}; expected a list.")
    promises = []
    for each in content:
        try:
            promise = Promise(**required_values(each, _STORED))
            label = promise.parsed().label
            if promise.rows < 0 or not 0 <= promise.value <= 1:
                raise ArtifactError(
                    f"It has {promise.rows} rows and the value {promise.value}; expected at least 0, and a "
                    "value from 0 to 1."
                )
        except (ArtifactError, OptionError) as error:
            raise ArtifactError(f"The key 'promises' is invalid. {error}") from None
        if label is not None and label not in names:
            raise ArtifactError(f"The key 'promises' names an unknown label: {cut(label)}.")
        promises.append(promise)
    return tuple(promises)


@dataclass(frozen=True)
class PromiseCheck:
    """What labelled rows say about a promise."""

    limit: Limit
    rows: int
    """Rows that count: texts that have the label, texts that got it, texts with a known label, or all."""
    value: float | None
    """`None` without such a row."""
    low: float | None = None
    high: float | None = None
    """The ends of the 95 % interval of the value."""

    @property
    def held(self) -> bool | None:
        """Whether the value keeps the limit."""
        return None if self.value is None else self.limit.is_kept(self.value)

    @property
    def is_contradicted(self) -> bool:
        """Whether the limit is missed by more than chance: the whole interval misses it."""
        best = self.low if self.limit.name == "abstained" else self.high
        return best is not None and not self.limit.is_kept(best)

    def to_json(self) -> dict[str, Any]:
        """Return one of the `promises` of `evaluate --json`."""
        return {
            "limit": str(self.limit),
            "rows": self.rows,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "held": self.held,
            "contradicted": self.is_contradicted,
        }

    def sentence(self) -> str:
        """Return it in words."""
        promised = f"Promise: {self.limit.sentence()}"
        if self.value is None:
            return f"{promised}. No row says anything about it."
        outcome = "held" if self.held else "not held, which may be chance"
        if self.is_contradicted:
            outcome = "broken: these texts are not like the rows that it was made with"
        interval = f"{format_number(self.low)} to {format_number(self.high)}"
        return f"{promised}: {outcome}. Here {format_number(self.value)} ({interval}) on {self.rows} rows."


class PromiseTally:
    """Counts what limits are about; rows are added chunk by chunk.

    Unknown cells count in nothing. A text counts for `samples_recall` when it has a known cell, and for
    `abstained` always.
    """

    def __init__(self, limits: Sequence[Limit], names: Sequence[str]) -> None:
        self._limits = tuple(limits)
        self._columns = [None if n.label is None else names.index(n.label) for n in self._limits]
        self._kept = np.zeros(len(self._limits))
        self._squares = np.zeros(len(self._limits))
        self._rows = np.zeros(len(self._limits), dtype=np.int64)

    def update(self, truth: FloatArray, decided: BoolArray) -> None:
        """Add rows. *Shapes:* (N, L) both; truth is 0, 1 or NaN."""
        for number, (limit, column) in enumerate(zip(self._limits, self._columns, strict=True)):
            values = _values(limit.name, column, truth, decided)
            self._kept[number] += values.sum()
            self._squares[number] += np.square(values).sum()
            self._rows[number] += len(values)

    def checks(self) -> list[PromiseCheck]:
        """Return what the rows say about each limit."""
        found = []
        sums = zip(self._limits, self._kept, self._squares, self._rows.tolist(), strict=True)
        for limit, kept, squares, rows in sums:
            if not rows:
                found.append(PromiseCheck(limit, 0, None))
                continue
            value = float(kept) / rows
            low, high = (float(end) for end in wilson_interval(float(kept), rows))
            variance = max(0.0, float(squares) / rows - value**2)
            if limit.name == "samples_recall" and variance:
                half = Z_95 * float(np.sqrt(variance / rows))
                low, high = max(0.0, value - half), min(1.0, value + half)
            found.append(PromiseCheck(limit, rows, value, low, high))
        return found


def _values(name: str, column: int | None, truth: FloatArray, decided: BoolArray) -> FloatArray:
    """Return what each row that counts adds to a value, each 0 to 1."""
    if name == "abstained":
        values = ~decided.any(axis=1)
    elif name == "samples_recall":
        used = ~np.isnan(truth).all(axis=1)
        positive = truth[used] == 1
        support, found = positive.sum(axis=1), (positive & decided[used]).sum(axis=1)
        values = np.where(support == 0, 1.0, found / np.maximum(support, 1))
    else:
        assert column is not None
        of_label, given = truth[:, column], decided[:, column]
        is_recall = name == "recall"
        values = given[of_label == 1] if is_recall else of_label[given & ~np.isnan(of_label)] == 1
    return np.asarray(values, dtype=np.float64)
