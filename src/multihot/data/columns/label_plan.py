"""Find out which of the three shapes the labels of a table have, and read them.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import binary_values
from multihot.data.columns.label_columns import find_label_columns
from multihot.data.columns.named_labels import (
    NameForm,
    clean_name,
    find_name_form,
    read_label_names,
)
from multihot.data.readers.table import Row
from multihot.errors import DataError, LabelError, OptionError

__all__ = ["KNOWN_LABELS", "LabelPlan", "plan_labels"]

KNOWN_LABELS = "@labels"
"""What `data.label_names` is for files that belong to a training file: the labels known from it."""

_NUM_SHOWN = 30


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
    places
        Where the cells are: one place per label, or the place of the column of names.
    form
        How the column of names is written; `None` = 0/1 columns.
    absent
        Columns of labels that the table says nothing about; unknown in all rows.
    """

    space: LabelSpace
    data: DataOptions
    notes: tuple[str, ...]
    source: str
    places: tuple[int, ...]
    form: NameForm | None
    absent: tuple[int, ...] = ()

    def matrix(self, rows: Sequence[Row]) -> LabelMatrix:
        """Return the labels of some rows; raise `DataError` for a cell that is wrong."""
        try:
            if self.form is not None:
                named = LabelMatrix.from_names(self.form.names(rows, self.places[0]), self.space)
                named.values[:, self.absent] = np.nan
                return replace(named, lists_all=not self.absent)
            columns, soft = self.data.label_columns, self.data.soft_labels
            found = binary_values(rows, self.places, columns, self.source, soft=soft)
            values = np.full((len(rows), len(self.space)), np.nan, dtype=np.float32)
            values[:, np.delete(np.arange(len(self.space)), self.absent)] = found
            return LabelMatrix(self.space, values)
        except LabelError as error:
            raise DataError(str(error), path=self.source) from None


def plan_labels(
    columns: Sequence[str],
    rows: Iterable[Row],
    data: DataOptions,
    space: LabelSpace | None,
    source: str,
) -> LabelPlan:
    """Find out how the labels of a table are written, and which labels there are.

    Parameters
    ----------
    rows
        All rows; they are gone through several times, and nothing of them is kept.
    space
        The known labels; without them they are those of the table.

    Raises
    ------
    DataError, OptionError
        As `read_examples`, as far as labels are concerned.
    """
    indexed = _label_names(data, space)
    known, notes = space.names if space is not None else indexed, list[str]()
    taken = (data.text_column, data.id_column, data.group_by, data.weight_column, data.split_by)
    found = find_label_columns(columns, rows, data, source, taken=taken, known=known)
    used = {*taken, *found.binary, found.names, *data.ignore_columns}
    unused = [name for name in columns if name not in used]
    if unused:
        notes.append(f"Columns not used: {', '.join(unused)}.")
    data = replace(data, ignore_columns=(*data.ignore_columns, *unused))
    try:
        if found.names is None:
            labels = LabelSpace(tuple(known or found.binary))
            kind = "columns of fractions" if data.soft_labels else "0/1 columns"
            notes.append(f"Labels: {len(found.binary)} {kind}: {_shortened(found.binary)}.")
            data = replace(data, label_columns=found.binary)
            places = tuple(map(columns.index, found.binary))
            absent = _absent(labels, map(clean_name, found.binary), data)
            notes += _absence(labels, absent)
            return LabelPlan(labels, data, tuple(notes), source, places, None, absent)
        place = columns.index(found.names)
        form = find_name_form(
            rows,
            place,
            path=source,
            column=found.names,
            delimiter=data.label_delimiter,
            known=known,
            indexed=indexed,
        )
        occurring = _names_that_occur(form, rows, place) if not known or data.partial_labels else ()
        labels = LabelSpace(known or occurring)
    except LabelError as error:
        raise DataError(str(error), path=source) from None
    absent = _absent(labels, occurring, data)
    notes += [form.note, f"{len(labels)} labels: {_shortened(labels.names)}."]
    notes += _absence(labels, absent)
    data = replace(data, label_column=found.names, label_delimiter=form.delimiter)
    return LabelPlan(labels, data, tuple(notes), source, (place,), form, absent)


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
        f"The file says nothing about {len(names)} of {len(space)} labels, which are unknown in all "
        f"its rows: {_shortened(names)}."
    ]


def _names_that_occur(form: NameForm, rows: Iterable[Row], place: int) -> tuple[str, ...]:
    """Return the sorted label names of all rows."""
    occurring: set[str] = set()
    for row in rows:
        for names in form.names([row], place):
            occurring.update(names or ())
    if not occurring:
        raise DataError(
            "Not a single label occurs in this column.", path=form.path, column=form.column
        )
    return tuple(sorted(occurring))


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
