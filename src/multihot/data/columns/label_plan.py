"""Find out which of the three shapes the labels of a table have, and read them.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace, normalized_name
from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import (
    ValueReader,
    binary_error,
    binary_values,
    value_reader,
)
from multihot.data.columns.label_columns import (
    ColumnFacts,
    LabelColumns,
    detected_label_columns,
    given_label_columns,
    label_candidates,
    may_hold_names,
    refuse_further_columns,
)
from multihot.data.columns.named_labels import (
    MAX_DISTINCT_BYTES,
    NameCell,
    NameCells,
    NameForm,
    cell_key,
    find_name_form,
    read_label_names,
)
from multihot.data.columns.row_counts import ReadCounts
from multihot.data.columns.value_words import distinct_values, value_advice
from multihot.data.readers.table import CellBatch
from multihot.errors import DataError, LabelError, OptionError

__all__ = ["KNOWN_LABELS", "LabelPlan", "LabelScan"]

KNOWN_LABELS = "@labels"
"""What `data.label_names` is for files that belong to a training file: the labels known from it."""

_NUM_SHOWN = 30
_MAX_REMEMBERED = 1 << 14


@dataclass(frozen=True)
class LabelPlan:
    """How the labels of a table are written: found once, then used for any of its rows.

    Attributes
    ----------
    space
        The labels.
    data
        The options with the label shape filled in.
    notes
        What was recognised.
    source
        The path, for messages.
    columns
        Where the cells are: the index of one column per label, or of the column of names.
    form
        How the column of names is written; `None` = 0/1 columns.
    absent
        Columns of labels that the table says nothing about; unknown in all rows.
    """

    space: LabelSpace
    data: DataOptions
    notes: tuple[str, ...]
    source: str
    columns: tuple[int, ...]
    form: NameForm | None
    absent: tuple[int, ...] = ()
    _values: ValueReader = field(default_factory=ValueReader, repr=False, compare=False)
    _labels_of: dict[Any, list[int] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def matrix(self, batch: CellBatch) -> LabelMatrix:
        """Return the labels of some rows; raise `DataError` for a cell that is wrong."""
        cells = [batch.cells[column] for column in self.columns]
        if self.form is not None:
            values = self._named_values(batch.lines, cells[0], self.form)
            values[:, self.absent] = np.nan
            return LabelMatrix(self.space, values, lists_all=not self.absent)
        names = self.data.label_columns
        present = binary_values(cells, batch.lines, names, self.source, self._values)
        if not self.absent:
            return LabelMatrix(self.space, present)
        values = np.full((len(batch), len(self.space)), np.nan, dtype=np.float32)
        values[:, np.delete(np.arange(len(self.space)), self.absent)] = present
        return LabelMatrix(self.space, values)

    def _named_values(
        self, lines: Sequence[int], cells: Sequence[Any], form: NameForm
    ) -> npt.NDArray[np.float32]:
        """Return 1 for the names of each cell, else 0; NaN for an unlabelled row. *Shape:* (N, L)."""
        values = np.zeros((len(cells), len(self.space)), dtype=np.float32)
        if len(self._labels_of) > _MAX_REMEMBERED:
            self._labels_of.clear()
        index_of = {name: index for index, name in enumerate(self.space.names)}
        rows: list[int] = []
        labels: list[int] = []
        for row, (line, cell) in enumerate(zip(lines, cells, strict=True)):
            key = cell_key(cell)
            if key not in self._labels_of:
                self._labels_of[key] = _label_indices(form, line, cell, index_of)
            indices = self._labels_of[key]
            if indices is None:
                values[row] = np.nan
            else:
                rows += [row] * len(indices)
                labels += indices
        values[rows, labels] = 1
        return values


def _label_indices(
    form: NameForm, line: int, cell: Any, index_of: Mapping[str, int]
) -> list[int] | None:
    names = form.names(line, cell)
    if names is None:
        return None
    for name in names:
        if name not in index_of:
            raise form.fail(line, f"The label '{name}' did not occur when the file was opened.")
    return [index_of[name] for name in names]


Reread = Callable[[], Iterator[CellBatch]]
"""Reads the batches of a table once more."""


class LabelScan:
    """Collects what the cells of a table say about its labels, in one pass.

    Parameters
    ----------
    columns
        The columns of the table.
    data
        How to read it; the columns of texts and ids are filled in.
    space
        The known labels; without them they are those of the table.
    max_bytes
        How much of the distinct cells of a column of names is held. If they take more, the file is
        read once more.

    Raises
    ------
    DataError, OptionError
        As `read_examples`, as far as options and column names are concerned.
    """

    def __init__(
        self,
        columns: Sequence[str],
        data: DataOptions,
        space: LabelSpace | None,
        source: str,
        *,
        max_bytes: int = MAX_DISTINCT_BYTES,
    ) -> None:
        self._columns, self._data, self._source = columns, data, source
        self._indexed = _label_names(data, space)
        self._known = space.names if space is not None else self._indexed
        self._taken = (
            data.text_column,
            data.id_column,
            data.group_by,
            data.weight_column,
            data.split_by,
            data.annotator_column,
            *data.vote_columns,
        )
        candidates = label_candidates(columns, data, self._taken)
        self._given = given = given_label_columns(
            columns, candidates, data, source, known=self._known
        )
        if given is None:
            binary, named = candidates, [name for name in candidates if may_hold_names(name)]
        elif given.names is not None:
            binary, named = [], [given.names]
        else:
            further = candidates if self._known else []
            binary, named = [*dict.fromkeys([*given.binary, *further])], []
        self._labels = binary if given is None else given.binary
        self._values = value_reader(data)
        self._binary = {name: columns.index(name) for name in binary}
        self._wrong: dict[str, tuple[int, Any]] = {}
        self._distinct: dict[str, frozenset[str]] = {}
        self._names = {name: NameCells(self._known, max_bytes=max_bytes) for name in named}

    def update(self, batch: CellBatch, counts: ReadCounts) -> None:
        """Add rows; their label values are counted as long as all may be label values."""
        values = {}
        for name, index in self._binary.items():
            if name not in self._wrong:
                values[name] = self._values.values(batch.cells[index])
                wrong = np.flatnonzero(values[name] < 0)
                if len(wrong):
                    row = int(wrong[0])
                    self._wrong[name] = batch.lines[row], batch.cells[index][row]
                    self._distinct[name] = distinct_values(batch.cells[index])
        if self._labels and not any(name in self._wrong for name in self._labels):
            counts.add_values(np.stack([values[name] for name in self._labels]).T)
        for name, cells in self._names.items():
            cells.update(batch.lines, batch.cells[self._columns.index(name)])

    def plan(self, counts: ReadCounts, reread: Reread) -> LabelPlan:
        """Decide how the labels are written, and count them where they are names.

        Raises
        ------
        DataError
            There is no label column, it is ambiguous, or a cell is wrong.
        """
        found = self._label_columns()
        data, notes = self._data, list[str]()
        used = {*self._taken, *found.binary, found.names, *data.ignore_columns}
        unused = [name for name in self._columns if name not in used]
        if unused:
            notes.append(f"Columns not used: {', '.join(unused)}.")
        data = replace(data, ignore_columns=(*data.ignore_columns, *unused))
        try:
            if found.names is None:
                return self._binary_plan(found.binary, data, notes, counts)
            return self._named_plan(found.names, data, notes, counts, reread)
        except LabelError as error:
            raise DataError(str(error), path=self._source) from None

    def _label_columns(self) -> LabelColumns:
        facts = {
            name: ColumnFacts(
                self._wrong.get(name),
                self._names.get(name),
                self._distinct.get(name, frozenset()),
            )
            for name in self._binary
        }
        if self._given is None:
            return detected_label_columns(facts, self._data, self._source)
        if self._given.binary and self._known:
            refuse_further_columns(facts, self._given.binary, self._known, self._source)
        return self._given

    def _binary_plan(
        self, binary: tuple[str, ...], data: DataOptions, notes: list[str], counts: ReadCounts
    ) -> LabelPlan:
        labels = LabelSpace(tuple(self._known or binary))
        wrong = [name for name in binary if name in self._wrong]
        if wrong:
            first = min(wrong, key=lambda name: self._wrong[name][0])
            line, cell = self._wrong[first]
            advice = value_advice({name: self._distinct[name] for name in wrong})
            raise binary_error(cell, self._source, line, first, advice, values=self._values)
        kind = "columns of fractions" if data.soft_labels else "0/1 columns"
        notes.append(f"Labels: {len(binary)} {kind}: {_shortened(binary)}.")
        notes += self._values.notes()
        absent = _absent(labels, map(normalized_name, binary), data)
        notes += _absence(labels, absent)
        counts.add_absent(len(absent))
        data = replace(data, label_columns=binary)
        columns = tuple(map(self._columns.index, binary))
        return LabelPlan(
            labels, data, tuple(notes), self._source, columns, None, absent, self._values
        )

    def _named_plan(
        self, column: str, data: DataOptions, notes: list[str], counts: ReadCounts, reread: Reread
    ) -> LabelPlan:
        index = self._columns.index(column)
        cells = self._names[column]

        def all_cells() -> Iterator[NameCell]:
            for batch in reread():
                for line, cell in zip(batch.lines, batch.cells[index], strict=True):
                    yield line, cell, 1

        def distinct() -> Iterator[NameCell]:
            return cells.distinct(all_cells)

        form = find_name_form(
            cells,
            distinct,
            path=self._source,
            column=column,
            delimiter=data.label_delimiter,
            known=self._known,
            indexed=self._indexed,
        )
        counts.clear_values()
        fewest, occurring = _count_names(form, distinct(), counts)
        if not occurring and (not self._known or data.partial_labels):
            raise DataError(
                "Not a single label occurs in this column.", path=self._source, column=column
            )
        labels = LabelSpace(self._known or occurring)
        absent = _absent(labels, occurring, data)
        counts.has_zero = fewest < len(labels) - len(absent)
        counts.add_absent(len(absent))
        notes += [form.note, f"{len(labels)} labels: {_shortened(labels.names)}."]
        notes += _absence(labels, absent)
        data = replace(data, label_column=column, label_delimiter=form.delimiter)
        return LabelPlan(labels, data, tuple(notes), self._source, (index,), form, absent)


def _count_names(
    form: NameForm, cells: Iterable[NameCell], counts: ReadCounts
) -> tuple[float, tuple[str, ...]]:
    """Count rows by their names; return the fewest names of a labelled row, and all names, sorted."""
    occurring: set[str] = set()
    fewest = math.inf
    for line, cell, count in cells:
        names = form.names(line, cell)
        if names is None:
            counts.unlabelled += count
            continue
        occurring.update(names)
        num_names = len(set(names))
        fewest = min(fewest, num_names)
        counts.negative += count if not num_names else 0
    counts.has_positive = bool(occurring)
    return fewest, tuple(sorted(occurring))


def _absent(space: LabelSpace, present: Iterable[str], data: DataOptions) -> tuple[int, ...]:
    """Return the columns of the labels that a file lacks; none unless it may lack some."""
    if not data.partial_labels:
        return ()
    names = set(present)
    return tuple(column for column, name in enumerate(space.names) if name not in names)


def _absence(space: LabelSpace, absent: Sequence[int]) -> list[str]:
    if not absent:
        return []
    names = [space.names[column] for column in absent]
    return [
        f"The file does not mention {len(names)} of {len(space)} labels, which are unknown in all "
        f"its rows: {_shortened(names)}."
    ]


def _label_names(data: DataOptions, space: LabelSpace | None) -> tuple[str, ...] | None:
    """Return the names that indices in label cells stand for, `None` when they stand for nothing."""
    if data.label_names != KNOWN_LABELS:
        return None if data.label_names is None else read_label_names(data.label_names)
    if space is None:
        raise OptionError(
            f"data.label_names={KNOWN_LABELS} means the labels of a model, and there is none here. "
            "Name a file with one label name a line."
        )
    return space.names


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NUM_SHOWN])
    return shown if len(names) <= _NUM_SHOWN else f"{shown} ..."
