"""Find out in one pass which of the three shapes the labels of a table have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.hierarchy import Hierarchy
from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.core.text_tables import counted, listed
from multihot.data.columns.binary_labels import (
    binary_error,
    value_reader,
)
from multihot.data.columns.label_columns import (
    ColumnFacts,
    LabelColumns,
    detected_label_columns,
    given_label_columns,
    label_candidates,
    name_columns,
    refuse_further_columns,
)
from multihot.data.columns.label_counts import (
    count_names,
    count_values,
    ignored_columns_notes,
    ignored_names_notes,
    similar_names_notes,
)
from multihot.data.columns.label_hierarchy import (
    Ancestry,
    ancestry_of,
    hierarchy_notes,
    raised_notes,
)
from multihot.data.columns.label_names import (
    Spelling,
    read_label_names,
    spelling_of,
)
from multihot.data.columns.label_plan import KNOWN_LABELS, LabelPlan
from multihot.data.columns.name_cells import (
    MAX_DISTINCT_BYTES,
    NameCell,
    NameCells,
)
from multihot.data.columns.name_detection import find_name_form
from multihot.data.columns.named_labels import NameForm
from multihot.data.columns.remarks import (
    fact_columns_notes,
    odd_names_notes,
    refuse_fractions,
    unused_columns_notes,
)
from multihot.data.columns.row_counts import ReadCounts
from multihot.data.columns.text_and_id import other_columns
from multihot.data.columns.value_words import distinct_values, value_advice
from multihot.data.readers.table import CellBatch
from multihot.errors import DataError, LabelError, OptionError

__all__ = ["LabelScan"]

_MAX_LISTED = 60  # labels in a note


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
    class_names
        For columns of class names, all classes in their order, also those that no row has.

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
        class_names: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._columns, self._data, self._source = columns, data, source
        self._spelling = spelling_of(data)
        self._known_space = space
        self._ancestry = ancestry_of(data, self._spelling) or Ancestry.of_space(space)
        self._num_raised = self._num_lowered = 0
        self._indexed = _label_names(data, space, self._spelling)
        self._known = space.names if space is not None else self._indexed
        self._class_names = class_names or {}
        self._index_of = {name: index for index, name in enumerate(columns)}
        self._taken = data.text_column, data.id_column, data.group_by, *other_columns(data)
        candidates = label_candidates(columns, data, self._taken)
        self._given = given = given_label_columns(
            columns, candidates, data, source, known=self._known, spelling=self._spelling
        )
        if given is None:
            binary, named = candidates, name_columns(candidates)
        elif given.names is not None:
            binary, named = [], [given.names]
        else:
            further = candidates if self._known else []
            binary, named = [*dict.fromkeys([*given.binary, *further])], []
        self._labels = binary if given is None else given.binary
        self._values = value_reader(data)
        self._binary = {name: self._index_of[name] for name in binary}
        self._wrong: dict[str, tuple[int, Any]] = {}
        self._distinct: dict[str, frozenset[str]] = {}
        self._ways: dict[str, frozenset[str]] = dict.fromkeys(binary, frozenset())
        self._names = {
            name: NameCells(self._known, max_bytes=max_bytes, spelling=self._spelling)
            for name in named
        }

    def update(self, batch: CellBatch, counts: ReadCounts) -> None:
        """Add rows; their label values are counted as long as all may be label values."""
        values = {}
        for name, index in self._binary.items():
            if name not in self._wrong:
                values[name] = self._values.values(batch.cells[index])
                self._ways[name] = self._ways[name] | self._values.ways
                wrong = np.flatnonzero(values[name] < 0)
                if len(wrong):
                    row = int(wrong[0])
                    self._wrong[name] = batch.lines[row], batch.cells[index][row]
                    self._distinct[name] = distinct_values(batch.cells[index])
        if self._labels and not any(name in self._wrong for name in self._labels):
            counts.add_values(self._completed(np.stack([values[name] for name in self._labels]).T))
        for name, cells in self._names.items():
            cells.update(batch.lines, batch.cells[self._index_of[name]])

    def _completed(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the values of 0/1 columns with what they imply; count what changes. *Shape:* (N, L)."""
        if self._implied is None:
            return values
        found = self._implied.completed(values)
        self._num_raised += found.num_raised
        self._num_lowered += found.num_lowered
        return found.values

    @cached_property
    def _implied(self) -> Hierarchy | None:
        """The hierarchy of the 0/1 columns; `None` also where their names are wrong, as `plan` says."""
        try:
            names = list(map(self._spelling, self._labels))
            return None if self._ancestry is None else self._ancestry.within(names)
        except LabelError:
            return None

    def _space(self, names: Sequence[str]) -> LabelSpace:
        """Return the labels, with their hierarchy where there is one."""
        return LabelSpace(tuple(names)) if self._ancestry is None else self._ancestry.space(names)

    def _hierarchy_notes(self, labels: LabelSpace) -> list[str]:
        if self._ancestry is None:
            return []
        changed = raised_notes(self._num_raised, self._num_lowered)
        return [*hierarchy_notes(self._ancestry, labels, self._known_space), *changed]

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
            notes.append(f"Columns not used: {listed(unused)}.")
        given = replace(data, label_column=found.names)
        notes += unused_columns_notes(unused, given)
        if found.binary and self._known:  # else they were refused
            notes += ignored_columns_notes(
                [name for name in unused if name in self._binary and name not in self._wrong]
            )
        data = replace(
            data,
            ignore_columns=(*data.ignore_columns, *unused),
            label_aliases=self._spelling.stored(),
            label_hierarchy=None if self._ancestry is None else self._ancestry.stored(),
        )
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
                self._ways[name],
                self._distinct.get(name, frozenset()),
            )
            for name in self._binary
        }
        if self._given is None:
            return detected_label_columns(facts, self._data, self._source)
        if self._given.binary and self._known and self._data.unknown_labels == "error":
            refuse_further_columns(facts, self._given.binary, self._known, self._source)
        return self._given

    def _binary_plan(
        self, binary: tuple[str, ...], data: DataOptions, notes: list[str], counts: ReadCounts
    ) -> LabelPlan:
        labels = self._space(tuple(self._known or map(self._spelling, binary)))
        wrong = [name for name in binary if name in self._wrong]
        if wrong:
            first = min(wrong, key=lambda name: self._wrong[name][0])
            line, cell = self._wrong[first]
            advice = value_advice({name: self._distinct[name] for name in wrong})
            raise binary_error(cell, self._source, line, first, advice, values=self._values)
        kind = "columns of fractions" if data.soft_labels else "0/1 columns"
        why = "; all columns that have no other meaning" if self._given is None else ""
        notes.append(f"Labels: {len(binary)} {kind}: {listed(binary, _MAX_LISTED)}{why}.")
        notes += self._values.notes()
        if self._given is None:
            notes += fact_columns_notes(binary)
        notes += self._hierarchy_notes(labels) + similar_names_notes(labels)
        absent = _absent(labels, map(self._spelling, binary), data)
        notes += _absence(labels, absent)
        counts.add_absent(len(absent))
        data = replace(data, label_columns=binary)
        columns = tuple(self._index_of[name] for name in binary)
        return LabelPlan(
            labels, data, tuple(notes), self._source, columns, None, absent, self._values
        )

    def _named_plan(
        self, column: str, data: DataOptions, notes: list[str], counts: ReadCounts, reread: Reread
    ) -> LabelPlan:
        index = self._index_of[column]
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
            data=data,
            known=self._known,
            indexed=self._indexed,
            spelling=self._spelling,
            ancestry=self._ancestry,
        )
        counts.clear_values()
        self._num_raised = self._num_lowered = 0
        classes = tuple(map(self._spelling, self._class_names.get(column, ())))
        if form.has_values:
            occurring = count_values(form, distinct(), counts, self._known)
            self._count_implied(form, distinct(), occurring)
        else:
            fewest, num_repeating, occurring = count_names(form, distinct(), counts)
        if not occurring and (not (self._known or classes) or data.partial_labels):
            raise DataError(
                "Not a single label occurs in this column.", path=self._source, column=column
            )
        refuse_fractions(() if self._given else occurring, self._source, column)
        labels = self._space(self._known or classes or occurring)
        absent = _absent(labels, occurring, data)
        counts.add_absent(len(absent))
        notes += [
            form.note,
            f"{counted(len(labels), 'label')}: {listed(labels.names, _MAX_LISTED)}.",
        ]
        if not form.has_values:
            counts.has_zero = fewest < len(labels) - len(absent)
            if num_repeating:
                notes.append(
                    f"{counted(num_repeating, 'cell names', 'cells name')} a label twice; it counts once."
                )
        if data.unknown_labels == "ignore" and self._known:
            notes += ignored_names_notes(form, distinct())
        notes += self._hierarchy_notes(labels) + similar_names_notes(labels)
        notes += odd_names_notes(labels, self._known)
        notes += _absence(labels, absent)
        data = replace(data, label_column=column, label_delimiter=form.delimiter)
        return LabelPlan(labels, data, tuple(notes), self._source, (index,), form, absent)

    def _count_implied(
        self, form: NameForm, cells: Iterable[NameCell], names: Sequence[str]
    ) -> None:
        """Count the values of cells that give labels one, and that other values of the cell change."""
        if self._ancestry is None or not names:
            return
        implied = self._ancestry.within(names)
        columns = {name: column for column, name in enumerate(names)}
        for line, cell, count in cells:
            given = form.values(line, cell)
            if not given:
                continue
            values = np.full((1, len(names)), np.nan, dtype=np.float32)
            mentioned = [columns[name] for name in given]
            values[0, mentioned] = list(given.values())
            found = implied.completed(values).values[0, mentioned]
            before = values[0, mentioned]
            self._num_raised += count * int(
                ((found > before) | (np.isnan(before) & (found > 0))).sum()
            )
            self._num_lowered += count * int((np.isnan(before) & (found == 0)).sum())


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
        f"its rows: {listed(names)}."
    ]


def _label_names(
    data: DataOptions, space: LabelSpace | None, spelling: Spelling
) -> tuple[str, ...] | None:
    """Return the names that indices in label cells stand for, `None` when they stand for nothing."""
    if data.label_names != KNOWN_LABELS:
        if data.label_names is None:
            return None
        names = tuple(map(spelling, read_label_names(data.label_names)))
        if len(set(names)) < len(names):
            raise OptionError(
                f"data.label_names={data.label_names}: names become equal by data.label_case or "
                "data.label_aliases. Write each label once."
            )
        return names
    if space is None:
        raise OptionError(
            f"data.label_names={KNOWN_LABELS} means the labels of a model, and there is none here. "
            "Name a file with one label name a line."
        )
    return space.names
