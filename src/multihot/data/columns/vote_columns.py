"""Columns of votes on a label that the same line names, and columns that look like such.

Letters: `N` rows, `V` columns of votes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.binary_labels import label_value, value_reader
from multihot.data.columns.headings import is_annotator_name, is_id_name
from multihot.data.columns.value_words import are_yes_and_no
from multihot.data.readers.table import as_number, as_text
from multihot.errors import DataError

__all__ = ["VoteReader", "VoteSuspects", "is_vote_name"]

FloatArray = npt.NDArray[np.float32]

_MOST_VOTES = 100
_VOTES = re.compile(
    r"(?:[\w\s]+[\s_.-])?(?:votes?|counts?|values?|annotators?|raters?|scores?|agree\w*|present|yes)"
)
_ANNOTATOR = re.compile(
    r"(annotator|rater|coder|worker|judge|vote|labell?er|reviewer)[\s_.-]*\w{0,4}"
)


@dataclass
class VoteReader:
    """Reads cells of `data.vote_columns` as shares: 0 is no, above 0 yes, unless `data.votes` counts.

    `num_above` counts the cells above 1 that are taken as a yes.
    """

    data: DataOptions
    source: str
    num_above: int = 0
    _known: dict[Any, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._values = value_reader(self.data)

    def values(self, columns: Sequence[Sequence[Any]], lines: Sequence[int]) -> FloatArray:
        """Return the votes of some rows, NaN where unknown. *Shape:* (N, V), float32."""
        names = self.data.vote_columns
        found = np.empty((len(lines), len(columns)), dtype=np.float32)
        for number, cells in enumerate(columns):
            for row, cell in enumerate(cells):
                found[row, number] = self._value(cell, lines[row], names[number])
        return found

    def _value(self, cell: Any, line: int, column: str) -> float:
        key = str(cell)
        if key not in self._known:
            value = float(self._values.values([cell])[0])
            count = _number(cell)
            if value < 0 and self.data.votes is None and count is not None and count > 1:
                value = math.inf  # counted below, whenever it occurs
            if value < 0:
                expected = (
                    "a number of votes, 0 or more"
                    if self.data.votes is None
                    else f"a whole number of votes from 0 to {self.data.votes} (data.votes)"
                )
                raise DataError(
                    f"{cut(cell)} is not a vote: expected {expected}, or an empty cell for unknown."
                    + " Fractions need data.soft_labels=true."
                    * (count is not None and 0 < count < 1)
                    + " Words need data.true_values and data.false_values."
                    * (isinstance(cell, str) and count is None),
                    path=self.source,
                    line=line,
                    column=column,
                )
            self._known[key] = value
        value = self._known[key]
        if math.isinf(value):
            self.num_above += 1
            return 1.0
        return value


@dataclass
class VoteSuspects:
    """Columns that no option mentions, looked through while lines with label names are merged.

    `columns` are their names and indices.
    """

    columns: Mapping[str, int]
    _first: dict[tuple[str, str], str] = field(default_factory=dict)
    _differ: set[str] = field(default_factory=set)
    _no_votes: set[str] = field(default_factory=set)
    _above_one: set[str] = field(default_factory=set)
    _pairs: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    _repeated: dict[str, int] = field(default_factory=dict)

    def update(
        self, keys: Sequence[str], lines: Sequence[int], cells: Sequence[Sequence[Any]]
    ) -> None:
        """Look at the columns of some rows whose groups are `keys`."""
        for name, index in self.columns.items():
            if name not in self._no_votes and not all(map(_may_count, cells[index])):
                self._no_votes.add(name)
            if name not in self._above_one and not all(map(_is_binary, cells[index])):
                self._above_one.add(name)
            is_annotator = (
                is_id_name(name)
                or is_annotator_name(name)
                or bool(_ANNOTATOR.fullmatch(name.casefold()))
            )
            if name in self._no_votes and not is_annotator:
                continue
            pairs = self._pairs.setdefault(name, set())
            for key, line, cell in zip(keys, lines, cells[index], strict=True):
                value = as_text(cell).strip()
                if self._first.setdefault((name, key), value) != value:
                    self._differ.add(name)
                if is_annotator and value:
                    if (key, value) in pairs:
                        self._repeated.setdefault(name, line)
                    pairs.add((key, value))

    def refuse(self, source: str, label: str | None, *, counts_lines: bool) -> None:
        """Raise `DataError` when votes would be dropped, or lines of one annotator counted twice.

        `label` is the column of names, if there is one; `counts_lines` says that every line counts
        as an annotator.
        """
        votes = [
            name
            for name in self.columns
            if name in self._differ
            and name not in self._no_votes
            and not is_id_name(name)
            and not is_annotator_name(name)
        ]
        named = list(filter(is_vote_name, votes))
        are_votes = named or len(votes) > 1 or not self._above_one.issuperset(votes)
        if label is not None and are_votes:
            some = ",".join((named or votes)[:30])
            raise DataError(
                f"The values in {listed(named or votes)} differ between lines of one text. Either they "
                f"are votes on the label that '{label}' names in the same line: set data.label_column="
                f"{label} data.vote_columns={some}. Or every line gives its label to the text, whatever "
                f"they say: set data.label_column={label} data.ignore_columns={some}.",
                path=source,
                column=(named or votes)[0],
            )
        repeated = [name for name in self._repeated if name in self._differ]
        if counts_lines and repeated:
            name = repeated[0]
            raise DataError(
                f"Several lines of one text have the same '{name}'. Either it says who labelled, and all "
                f"lines of one annotator count once: set data.annotator_column={name}. Or every line "
                f"counts as an annotator: set data.ignore_columns={name}.",
                path=source,
                line=self._repeated[name],
                column=name,
            )


def is_vote_name(name: str) -> bool:
    """Whether a column is named like votes or like one annotator, such as `annotator1`."""
    folded = name.casefold()
    return _VOTES.fullmatch(folded) is not None or _ANNOTATOR.fullmatch(folded) is not None


def _may_count(cell: Any) -> bool:
    if cell is None or (isinstance(cell, str) and (not cell.strip() or _is_yes_or_no(cell))):
        return True
    count = _number(cell)
    return count is not None and 0 <= count <= _MOST_VOTES


def _is_binary(cell: Any) -> bool:
    return label_value(cell, soft=False) is not None or (
        isinstance(cell, str) and _is_yes_or_no(cell)
    )


def _is_yes_or_no(cell: str) -> bool:
    return are_yes_and_no([cell.strip().casefold()])


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or label_value(cell, soft=True) is not None:
        return label_value(cell, soft=True)
    number = as_number(cell)
    return number if number is not None and math.isfinite(number) else None
