"""Read 0/1 columns, one per label; where asked for, also fractions, votes and words.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.data_options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.readers.table import as_number
from multihot.errors import DataError, OptionError

__all__ = ["BLANK", "ValueReader", "binary_error", "binary_values", "label_value", "value_reader"]

BLANK = "blank"
"""The word for an empty cell in `data.true_values` and `data.false_values`."""

FloatArray = npt.NDArray[np.float32]

_VALUES: dict[str, float] = {
    **dict.fromkeys(("0", "0.0", "false"), 0.0),
    **dict.fromkeys(("1", "1.0", "true"), 1.0),
    **dict.fromkeys(("", "null", "nan", "-1", "-1.0", "na", "n/a", "<na>", "\\n"), math.nan),
}
_ONE_DIGIT = re.compile(r"\s*[+-]?[0-9](?:\.[0-9]*)?(?:e[+-]?[0-9]+)?\s*", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\s*-?[0-9]+,[0-9]+\s*")
_DIGITS = frozenset({"digits"})
_NO_VALUE = -1.0
_MAX_REMEMBERED = 1 << 14


class ValueReader:
    """Turns cells into label values and remembers what each way of writing one means.

    0 and 1 may be written as 0.0, 1.0, true and false in any case. An empty cell, `null`, `NaN`,
    `NA` and -1 are unknown; 0,5 is 0.5.

    Parameters
    ----------
    soft
        Whether a cell may also be any number between 0 and 1.
    votes
        The number of votes that a cell counts: a cell is a whole number up to it, or unknown.
    rule
        What votes become: their `share`, the `majority` (a tie is unknown) or the `union`.
    words
        Values of further words, folded, which go before all others.

    Attributes
    ----------
    ways
        How the known ones of the last cells are written: `words` (true, false), `digits`, or both.
    """

    def __init__(
        self,
        *,
        soft: bool = False,
        votes: int | None = None,
        rule: str = "share",
        words: Mapping[str, float] | None = None,
    ) -> None:
        self.soft, self.votes, self.rule, self.words = soft, votes, rule, dict(words or {})
        self._most_votes = 0.0
        self.ways: frozenset[str] = frozenset()
        self._values: dict[Any, float] = {}
        self._digits: set[Any] = set()  # cells of one ASCII character, and a table of their values
        self._by_code = np.full(128, _NO_VALUE, dtype=np.float32)

    def notes(self) -> list[str]:
        """Say which words and votes were read."""
        notes = []
        if self.words:
            words = [f"{word or BLANK} is {value:g}" for word, value in self.words.items()]
            notes.append(f"Words in label columns: {listed(words)}.")
        if self.votes is not None:
            rule = {
                "share": "labels are their share",
                "majority": "labels are what more than half say, and unknown in a tie",
                "union": "one vote makes a label",
            }[self.rule]
            notes.append(f"Label cells count votes from 0 to {self.votes}: {rule}.")
            if self._most_votes <= 1 < self.votes:
                notes.append(
                    "No cell counts more than one vote: if the cells are labels (0 or 1) and not votes, "
                    "set data.votes=none."
                )
        return notes

    @property
    def expected(self) -> str:
        """What a cell may hold, in words."""
        words = "".join(f"{word or BLANK} for {value:g}, " for word, value in self.words.items())
        if self.votes is not None:
            return f"{words}a whole number of votes from 0 to {self.votes} (data.votes)"
        return f"{words}0 or 1 (or true, false)" + (", a number between them" * self.soft)

    def values(self, cells: Sequence[Any]) -> FloatArray:
        """Return the value of each cell, -1 where it has none. *Shape:* (N,), float32."""
        try:
            distinct = set(cells)
        except TypeError:  # a list or an object
            values = map(self._value, cells)
            return np.array(
                [_NO_VALUE if value is None else value for value in values], dtype=np.float32
            )
        self.ways = _DIGITS
        if not self._digits.issuperset(distinct):
            self._remember(distinct)
            self.ways = frozenset(way for way in map(_way_of, distinct) if way is not None)
            if not self._digits.issuperset(distinct):
                found = map(self._values.__getitem__, cells)
                return np.fromiter(found, dtype=np.float32, count=len(cells))
        return self._by_code[np.frombuffer("".join(cells).encode("ascii"), dtype=np.uint8)]

    def _remember(self, cells: set[Any]) -> None:
        if len(self._values) > _MAX_REMEMBERED:
            self._values.clear()
        for cell in cells.difference(self._values):
            value = self._value(cell)
            self._values[cell] = _NO_VALUE if value is None else value
            if value is not None and isinstance(cell, str) and len(cell) == 1 and cell.isascii():
                self._digits.add(cell)
                self._by_code[ord(cell)] = value

    def _value(self, cell: Any) -> float | None:
        if self.words:
            value = self.words.get(_folded(cell))
            if value is not None:
                return value
        return (
            label_value(cell, soft=self.soft)
            if self.votes is None
            else self._voted(cell, self.votes)
        )

    def _voted(self, cell: Any, votes: int) -> float | None:
        plain = label_value(cell, soft=False)
        if plain is not None and math.isnan(plain):
            return plain
        count = None if isinstance(cell, bool) else as_number(cell)
        if count is None or not count.is_integer() or not 0 <= count <= votes:
            return None
        self._most_votes = max(self._most_votes, count)
        if self.rule == "share":
            return count / votes
        if self.rule == "union":
            return float(count > 0)
        return math.nan if 2 * count == votes else float(2 * count > votes)


def value_reader(data: DataOptions) -> ValueReader:
    """Return the reader of label values that the options ask for.

    Raises `OptionError` where they contradict each other.
    """
    if data.votes is not None and data.votes < 1:
        raise OptionError(f"data.votes={data.votes}: expected the number of votes, at least 1.")
    words: dict[str, float] = {}
    for given, value in ((data.true_values, 1.0), (data.false_values, 0.0)):
        for word in given:
            folded = "" if word.strip().casefold() == BLANK else _folded(word)
            if words.setdefault(folded, value) != value:
                raise OptionError(
                    f"{cut(word)} stands in data.true_values and in data.false_values."
                )
    # Votes of lines that are merged are judged together, not line by line.
    rule = "share" if data.aggregate is None or data.group_by is not None else data.aggregate
    return ValueReader(soft=data.soft_labels, votes=data.votes, rule=rule, words=words)


def _folded(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip().casefold()


def binary_values(
    columns: Sequence[Sequence[Any]],
    lines: Sequence[int],
    names: Sequence[str],
    path: str,
    cells: ValueReader,
) -> FloatArray:
    """Read L columns of N cells as label values.

    Returns
    -------
    values
        *Shape:* (N, L), float32, each 0, 1 or NaN (unknown); with `soft`, also between 0 and 1.

    Raises
    ------
    DataError
        Any other value.
    """
    values = np.empty((len(lines), len(columns)), dtype=np.float32)
    for number, column in enumerate(columns):
        values[:, number] = cells.values(column)
        wrong = np.flatnonzero(values[:, number] == _NO_VALUE)
        if len(wrong):
            row = int(wrong[0])
            raise binary_error(column[row], path, lines[row], names[number], values=cells)
    return values


def binary_error(
    cell: Any, path: str, line: int, column: str, advice: str = "", *, values: ValueReader
) -> DataError:
    """Return the error for a cell that is no label value."""
    if isinstance(cell, str) and cell.strip() in ("NONE", "none"):
        message = (
            "The label is NONE: this looks like the unlabelled official test file. It can be "
            "predicted as it is; to train or evaluate, use the gold file (2018-E-c-En-test-gold.txt)."
        )
    else:
        if not advice and values.votes is None and label_value(cell, soft=True) is not None:
            advice = " If fractions are the proportions of annotators, set data.soft_labels=true."
        message = (
            f"{cut(cell)} is not a label value: expected {values.expected}, or for unknown -1, null "
            f"or an empty cell.{advice}"
        )
    return DataError(message, path=path, line=line, column=column)


def label_value(cell: Any, *, soft: bool) -> float | None:
    """Return 0, 1, NaN (unknown) or a fraction, or `None` when the cell is none of them."""
    if isinstance(cell, str):
        value = _VALUES.get(cell)
        if value is None:
            value = _VALUES.get(cell.strip().lower())
        if value is None and (_ONE_DIGIT.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell)):
            return label_value(float(cell.replace(",", ".")), soft=soft)
        return _fraction(cell) if value is None and soft else value
    if cell is None:
        return math.nan
    if isinstance(
        cell, (bool, int, float, Decimal)
    ):  # equal numbers share a place in `ValueReader`
        # An integer may be too large for a float.
        if cell == -1 or (not isinstance(cell, int) and math.isnan(cell)):
            return math.nan
        return float(cell) if cell in (0, 1) or (soft and 0 < cell < 1) else None
    return None


def _fraction(text: str) -> float | None:
    value = as_number(text)
    return value if value is not None and 0 <= value <= 1 else None


def _way_of(cell: Any) -> str | None:
    """Return `words` or `digits`, as a label value is written; `None` where it is unknown."""
    if isinstance(cell, str):
        text = cell.strip().lower()
        return "words" if text in ("true", "false") else "digits" if text[:1].isdigit() else None
    if isinstance(cell, bool):
        return "words"
    is_unknown = isinstance(cell, (float, Decimal)) and math.isnan(cell)
    return "digits" if isinstance(cell, (int, float, Decimal)) and not is_unknown else None
