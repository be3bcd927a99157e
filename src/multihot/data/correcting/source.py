"""A labelled file that is corrected: where its label cells are, and what they become.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.options import DataOptions
from multihot.data.checked_file import CheckedFile
from multihot.data.columns.label_plan import LabelPlan
from multihot.data.correcting.cells import BinaryCells, edited_cell
from multihot.data.correcting.text import NotWritableError
from multihot.errors import DataError, OptionError

__all__ = [
    "CorrectedFile",
    "RowChanges",
    "label_paths",
    "label_places",
    "label_rows",
    "learned_cells",
]


@dataclass(frozen=True)
class RowChanges:
    """New values of labels of one row.

    Attributes
    ----------
    values
        By label name: 1, 0, a fraction, or NaN (unknown).
    table, place
        The table and its line that asks for the first of them, for messages.
    """

    values: Mapping[str, float]
    table: Path
    place: int


@dataclass(frozen=True)
class CorrectedFile:
    """A file that is copied, and how its labels are written."""

    path: Path
    data: DataOptions
    file: CheckedFile
    plan: LabelPlan
    columns: tuple[str, ...]
    """Those of the file."""
    delimiter: str | None
    binary: BinaryCells | None
    changes: Mapping[int, RowChanges]
    """By 0-based row."""

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The 0/1 columns in the order of the labels, or the column of names."""
        data = self.plan.data
        return data.label_columns if self.plan.form is None else (data.label_column or "",)

    def edited(self, row: int, line: int, cells: Mapping[str, Any]) -> dict[str, Any]:
        """Return the new cells of a row by column, from its cells in the label columns."""
        change = self.changes[row]
        with self.writable(row):
            if self.plan.form is None:
                assert self.binary is not None
                present = np.delete(np.arange(len(self.plan.space)), self.plan.absent)
                column_of = {
                    self.plan.space.names[label]: name
                    for label, name in zip(present, self.label_columns, strict=True)
                }
                if lacking := next((name for name in change.values if name not in column_of), None):
                    raise NotWritableError(f"it has no column '{lacking}'")
                return {
                    column_of[label]: self.binary.cell(column_of[label], value)
                    for label, value in change.values.items()
                }
            [name] = self.label_columns
            return {name: edited_cell(self.plan.form, line, cells.get(name), change.values)}

    @contextlib.contextmanager
    def writable(self, row: int) -> Iterator[None]:
        """Say what a row cannot hold as an error of the line of the table that asks for it."""
        try:
            yield
        except NotWritableError as error:
            change = self.changes[row]
            raise DataError(
                f"{self.path.name} cannot hold this correction of row {row + 1}: {error}.",
                path=change.table,
                line=change.place,
            ) from None


def learned_cells(source: CorrectedFile) -> BinaryCells:
    """Return how the 0/1 columns write their values."""
    binary = BinaryCells(source.plan.data, source.label_columns)
    for batch in source.file.again():
        binary.update([batch.cells[column] for column in source.plan.columns])
    return binary


def label_paths(source: CorrectedFile) -> dict[str, tuple[str, ...]]:
    """Return where each label column is in the objects of a file: its key, or a path of keys."""
    paths: dict[str, tuple[str, ...]] = {}
    for name in source.label_columns:
        is_path = name not in source.columns and "." in name
        keys = tuple(name.split(".")) if is_path else (name,)
        if keys[0] not in source.columns:
            raise OptionError(
                "The labels are read from several columns together, which cannot be written back. Write "
                "them as 0/1 columns, or as one list for each text."
            )
        paths[name] = keys
    return paths


def label_places(source: CorrectedFile) -> dict[str, int]:
    """Return the place of each label column in a table."""
    paths = label_paths(source)
    return {name: source.columns.index(keys[0]) for name, keys in paths.items()}


def label_rows(source: CorrectedFile) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield number, line and label cells of every row."""
    row, names = 0, source.label_columns
    for batch in source.file.again():
        columns = [batch.cells[column] for column in source.plan.columns]
        for line, *cells in zip(batch.lines, *columns, strict=True):
            yield row, line, dict(zip(names, cells, strict=True))
            row += 1
