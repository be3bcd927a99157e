"""Read the labels of a table, whichever of the three shapes they have.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from multihot.data.binary_cells import binary_values
from multihot.data.label_columns import find_label_columns
from multihot.data.name_cells import name_cells, read_label_names
from multihot.data.rows import Row
from multihot.errors import DataError, LabelError, OptionError
from multihot.labels import LabelMatrix, LabelSpace
from multihot.options import DataOptions

__all__ = ["KNOWN_LABELS", "read_labels"]

KNOWN_LABELS = "@labels"
"""What `data.label_names` is for files that belong to a training file: the labels known from it."""

_NUM_SHOWN = 30


def read_labels(
    columns: Sequence[str],
    rows: Sequence[Row],
    data: DataOptions,
    space: LabelSpace | None,
    source: str,
) -> tuple[LabelMatrix, DataOptions, list[str]]:
    """Return the labels, the options with the label shape filled in, and notes."""
    indexed = _label_names(data, space)
    known, notes = space.names if space is not None else indexed, list[str]()
    taken = (data.text_column, data.id_column, data.group_by)
    found = find_label_columns(columns, rows, data, source, taken=taken, known=known)
    used = {*taken, *found.binary, found.names, *data.ignore_columns}
    unused = [name for name in columns if name not in used]
    if unused:
        notes.append(f"Columns not used: {', '.join(unused)}.")
    data = replace(data, ignore_columns=(*data.ignore_columns, *unused))
    try:
        if found.names is None:
            names = LabelSpace(known or found.binary)
            places = [columns.index(name) for name in found.binary]
            values = binary_values(rows, places, found.binary, source)
            resolved = replace(data, label_columns=found.binary)
            notes.append(f"Labels: {len(names)} 0/1 columns: {_shortened(names.names)}.")
            return LabelMatrix(names, values), resolved, notes
        place = columns.index(found.names)
        read = name_cells(
            [cells[place] for _, cells in rows],
            [line for line, _ in rows],
            path=source,
            column=found.names,
            delimiter=data.label_delimiter,
            known=known,
            indexed=indexed,
        )
        if known is None and not any(read.names):
            raise DataError(
                "Not a single label occurs in this column.", path=source, column=found.names
            )
        matrix = LabelMatrix.from_names(read.names, LabelSpace(known) if known else None)
    except LabelError as error:
        raise DataError(str(error), path=source) from None
    notes += [read.note, f"{len(matrix.space)} labels: {_shortened(matrix.space.names)}."]
    resolved = replace(data, label_column=found.names, label_delimiter=read.delimiter)
    return matrix, resolved, notes


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
