"""How the labels of a table are written, and how to read them from any of its rows.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import (
    ValueReader,
    binary_values,
)
from multihot.data.columns.name_cells import (
    cell_key,
)
from multihot.data.columns.named_labels import NameForm
from multihot.data.readers.table import CellBatch

__all__ = ["KNOWN_LABELS", "LabelPlan"]

KNOWN_LABELS = "@labels"
"""What `data.label_names` is for files that belong to a training file: the labels known from it."""

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
    _labels_of: dict[Any, tuple[list[int], list[float] | None] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def matrix(self, batch: CellBatch) -> LabelMatrix:
        """Return the labels of some rows; raise `DataError` for a cell that is wrong."""
        cells = [batch.cells[column] for column in self.columns]
        if self.form is not None:
            values = self._named_values(batch.lines, cells[0], self.form)
            values[:, self.absent] = np.nan
            return LabelMatrix(self.space, self._completed(values), lists_all=not self.absent)
        names = self.data.label_columns
        present = binary_values(cells, batch.lines, names, self.source, self._values)
        if not self.absent:
            return LabelMatrix(self.space, self._completed(present))
        values = np.full((len(batch), len(self.space)), np.nan, dtype=np.float32)
        values[:, np.delete(np.arange(len(self.space)), self.absent)] = present
        return LabelMatrix(self.space, self._completed(values))

    def _completed(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the values with what they imply. *Shape:* (N, L); cells of names name it already."""
        hierarchy = self.space.hierarchy
        named = self.form is not None and not self.form.has_values and not self.absent
        return values if hierarchy is None or named else hierarchy.completed(values).values

    def _named_values(
        self, lines: Sequence[int], cells: Sequence[Any], form: NameForm
    ) -> npt.NDArray[np.float32]:
        """Return the values of the labels of each cell; NaN for an unlabelled row. *Shape:* (N, L)."""
        rest = form.unmentioned if form.has_values else 0.0
        values = np.full((len(cells), len(self.space)), rest, dtype=np.float32)
        if len(self._labels_of) > _MAX_REMEMBERED:
            self._labels_of.clear()
        rows: list[int] = []
        labels: list[int] = []
        found: list[float] = []
        for row, (line, cell) in enumerate(zip(lines, cells, strict=True)):
            key = cell_key(cell)
            if key not in self._labels_of:
                self._labels_of[key] = _label_indices(form, line, cell, self._index_of)
            known = self._labels_of[key]
            if known is None:
                values[row] = np.nan
                continue
            indices, numbers = known
            rows += [row] * len(indices)
            labels += indices
            if numbers is not None:
                found += numbers
        values[rows, labels] = found if form.has_values else 1
        return values

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.space.names)}


def _label_indices(
    form: NameForm, line: int, cell: Any, index_of: Mapping[str, int]
) -> tuple[list[int], list[float] | None] | None:
    """Return the columns of the labels of a cell, and their values unless all are 1."""
    found = form.values(line, cell) if form.has_values else form.names(line, cell)
    if found is None:
        return None
    for name in found:
        if name not in index_of:
            raise form.fail(line, f"The label '{name}' did not occur when the file was opened.")
    indices = [index_of[name] for name in found]
    return indices, list(found.values()) if isinstance(found, dict) else None
