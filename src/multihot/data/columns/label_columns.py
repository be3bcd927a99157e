"""Decide in which columns the labels are and how they are written; never guess silently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import binary_error, first_not_binary
from multihot.data.columns.named_labels import clean_name
from multihot.data.columns.text_and_id import ID_NAMES, LABEL_NAMES, required_column
from multihot.data.readers.table import Row
from multihot.errors import DataError, OptionError

__all__ = ["LabelColumns", "find_label_columns"]


@dataclass(frozen=True)
class LabelColumns:
    """Where the labels are: in several 0/1 columns or in one column of names, never both.

    Attributes
    ----------
    binary
        Names of the 0/1 columns, in the order of the labels.
    names
        Name of the column that holds all labels of a row.
    """

    binary: tuple[str, ...] = ()
    names: str | None = None


def find_label_columns(
    columns: Sequence[str],
    rows: Iterable[Row],
    data: DataOptions,
    path: str,
    *,
    taken: Sequence[str | None],
    known: Sequence[str] | None = None,
) -> LabelColumns:
    """Decide how the labels are written, from options, known names, column names and cells.

    Parameters
    ----------
    columns, rows
        The table; all rows, because one cell that is not 0 or 1 changes what a column is. They are
        gone through up to three times.
    taken
        Columns that hold text, id and group.
    known
        Label names, when they are known: columns of these names are 0/1 columns. They must all be
        there unless `data.partial_labels`.

    Raises
    ------
    DataError
        There is no label column, one is missing, one is not known, or it is ambiguous.
    OptionError
        `data.label_column` and `data.label_columns` are both set.
    """
    if data.label_column is not None and data.label_columns:
        raise OptionError(
            f"data.label_column={data.label_column} (names in one column) and data.label_columns="
            f"{','.join(data.label_columns)} (0/1 columns) exclude each other. Empty one of them: "
            "data.label_column=none or data.label_columns="
        )
    out = {*taken, *data.ignore_columns}
    rest = [name for name in columns if name not in out and name.casefold() not in ID_NAMES]
    if data.label_column is not None:
        required_column(data.label_column, columns, path, "data.label_column")
        if data.label_column == data.text_column:
            raise OptionError(f"data.label_column={data.label_column} is the text column.")
        return LabelColumns(names=data.label_column)
    if data.label_columns or (known and any(clean_name(name) in known for name in rest)):
        return _binary(columns, rows, rest, data, known=known, path=path)
    if not rest:
        raise DataError(
            f"There is no label column. The columns are: {', '.join(columns)}. Labels are read from "
            "0/1 columns, one per label, or from one column of label names (data.label_column=NAME).",
            path=path,
        )
    return _detected(columns, rows, rest, data, path)


def _detected(
    columns: Sequence[str], rows: Iterable[Row], rest: list[str], data: DataOptions, path: str
) -> LabelColumns:
    places = {name: columns.index(name) for name in rest}
    found = first_not_binary(rows, places.values(), soft=data.soft_labels)
    wrong = {name: found[places[name]] for name in rest if places[name] in found}
    named = [name for name in rest if name.casefold() in LABEL_NAMES]
    if not wrong and not (len(rest) == 1 and named):
        return LabelColumns(tuple(rest))
    if not wrong:
        only = places[named[0]]
        if data.label_names is None and any(cells[only] not in ("", None) for _, cells in rows):
            raise DataError(
                "All values are 0 or 1: these may be the values of one label, or names of labels. "
                f"Set data.label_columns={named[0]} for the first, data.label_column={named[0]} for "
                "the second.",
                path=path,
                column=named[0],
            )
        return LabelColumns(names=named[0])
    lists = _lists(rows, {name: places[name] for name in named})
    candidates = lists or [name for name in named if name in wrong]
    binary = [name for name in rest if name not in wrong]
    if len(candidates) == 1 and (lists or not binary):
        return LabelColumns(names=candidates[0])
    if candidates:
        raise DataError(
            f"The labels may be the names in {' or '.join(candidates)}"
            + (f", or the 0/1 columns {', '.join(binary)}" if binary else "")
            + ". Set data.label_column=NAME or data.label_columns=NAME,NAME; columns that are not "
            "labels go to data.ignore_columns.",
            path=path,
        )
    worst = min(wrong, key=lambda name: wrong[name][0])
    line, cell = wrong[worst]
    raise binary_error(
        cell,
        path,
        line,
        worst,
        " Every column except text and id is taken as a 0/1 label column; these hold other values: "
        f"{', '.join(wrong)}. If they are not labels, set data.ignore_columns={','.join(wrong)}; if "
        f"one holds all labels of a row, set data.label_column={worst}.",
        soft=data.soft_labels,
    )


def _lists(rows: Iterable[Row], places: dict[str, int]) -> list[str]:
    """Return the columns that hold a list in some row."""
    found: set[str] = set()
    for _, cells in rows if places else ():
        found.update(name for name, place in places.items() if isinstance(cells[place], list))
        if len(found) == len(places):
            break
    return [name for name in places if name in found]


def _binary(
    columns: Sequence[str],
    rows: Iterable[Row],
    rest: Sequence[str],
    data: DataOptions,
    *,
    known: Sequence[str] | None,
    path: str,
) -> LabelColumns:
    """Find the known or wanted 0/1 columns by name; refuse further ones when labels are known."""
    by_name = {clean_name(name): name for name in columns}
    labels = []
    for name in known or data.label_columns:
        if clean_name(name) not in by_name:
            if known and data.partial_labels:
                continue
            raise DataError(
                f"The label column '{name}' is missing. The columns are: {', '.join(columns)}. Add it; "
                "empty cells mean unknown."
                + (" Files that lack labels are read with data.partial_labels=true." * bool(known)),
                path=path,
            )
        labels.append(by_name[clean_name(name)])
    if not labels:
        raise DataError(
            f"No column is named like a known label. The columns are: {', '.join(columns)}; the known "
            f"labels are: {', '.join(known or ())}.",
            path=path,
        )
    if known:
        places = {name: columns.index(name) for name in rest if name not in labels}
        others = first_not_binary(rows, places.values(), soft=data.soft_labels)
        extra = [name for name, place in places.items() if place not in others]
        if extra:
            raise DataError(
                f"These 0/1 columns are not among the known labels: {', '.join(extra)}. The known "
                f"labels are: {', '.join(known)}. If they are not labels, set data.ignore_columns="
                f"{','.join(extra)}; otherwise train with a file that has them.",
                path=path,
                column=extra[0],
            )
    return LabelColumns(tuple(labels))
