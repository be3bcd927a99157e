"""Decide in which columns the labels are and how they are written; never guess silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multihot.core.labels import normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import listed
from multihot.data.columns.binary_labels import binary_error, value_reader
from multihot.data.columns.named_labels import NameCells
from multihot.data.columns.text_and_id import ID_NAMES, LABEL_NAMES, required_column
from multihot.data.columns.value_words import like_values, value_advice
from multihot.errors import DataError, OptionError

__all__ = [
    "ColumnFacts",
    "LabelColumns",
    "detected_label_columns",
    "given_label_columns",
    "label_candidates",
    "may_hold_names",
    "refuse_further_columns",
]


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


@dataclass(frozen=True)
class ColumnFacts:
    """What all cells of a column that may hold labels have in common.

    Attributes
    ----------
    first_not_binary
        Line and cell of the first cell that is no label value; `None` = all are.
    names
        Its cells as label names; `None` = its name does not suggest any.
    distinct
        Of a column with such a cell, distinct cells.
    """

    first_not_binary: tuple[int, Any] | None = None
    names: NameCells | None = None
    distinct: frozenset[str] = frozenset()


def label_candidates(
    columns: Sequence[str], data: DataOptions, taken: Sequence[str | None]
) -> list[str]:
    """Return the columns that may hold labels: those without another meaning."""
    out = {*taken, *data.ignore_columns}
    return [name for name in columns if name not in out and name.casefold() not in ID_NAMES]


def may_hold_names(column: str) -> bool:
    """Whether a column is named like one that holds all labels of a row."""
    return column.casefold() in LABEL_NAMES


def given_label_columns(
    columns: Sequence[str],
    candidates: Sequence[str],
    data: DataOptions,
    path: str,
    *,
    known: Sequence[str] | None = None,
) -> LabelColumns | None:
    """Return the label columns as options, known names and column names decide them.

    Parameters
    ----------
    candidates
        The columns that may hold labels.
    known
        Label names, when they are known: columns of these names are 0/1 columns. They must all be
        there unless `data.partial_labels`.

    Returns
    -------
    given
        `None` = the cells have to decide.

    Raises
    ------
    DataError
        There is no label column, or one is missing.
    OptionError
        `data.label_column` and `data.label_columns` are both set.
    """
    if data.label_column is not None and data.label_columns:
        raise OptionError(
            f"data.label_column={data.label_column} (names in one column) and data.label_columns="
            f"{','.join(data.label_columns)} (0/1 columns) exclude each other. Empty one of them: "
            "data.label_column=none or data.label_columns="
        )
    if data.label_column is not None:
        required_column(data.label_column, columns, path, "data.label_column")
        if data.label_column == data.text_column:
            raise OptionError(f"data.label_column={data.label_column} is the text column.")
        return LabelColumns(names=data.label_column)
    if data.label_columns or (known and any(normalized_name(name) in known for name in candidates)):
        return LabelColumns(_named_columns(columns, data, known=known, path=path))
    if not candidates:
        raise DataError(
            f"There is no label column. The columns are: {', '.join(columns)}. Labels are read from "
            "0/1 columns, one per label, or from one column of label names (data.label_column=NAME).",
            path=path,
        )
    return None


def _named_columns(
    columns: Sequence[str], data: DataOptions, *, known: Sequence[str] | None, path: str
) -> tuple[str, ...]:
    """Return the known or wanted 0/1 columns, by name."""
    by_name = {normalized_name(name): name for name in columns}
    labels = []
    for name in known or data.label_columns:
        if normalized_name(name) not in by_name:
            if known and data.partial_labels:
                continue
            raise DataError(
                f"The label column '{name}' is missing. The columns are: {', '.join(columns)}. Add it; "
                "empty cells mean unknown."
                + (" Files that lack labels are read with data.partial_labels=true." * bool(known)),
                path=path,
            )
        labels.append(by_name[normalized_name(name)])
    if not labels:
        raise DataError(
            f"No column is named like a known label. The columns are: {', '.join(columns)}; the known "
            f"labels are: {', '.join(known or ())}.",
            path=path,
        )
    return tuple(labels)


def refuse_further_columns(
    facts: Mapping[str, ColumnFacts], labels: Sequence[str], known: Sequence[str], path: str
) -> None:
    """Raise `DataError` when another column than `labels` holds nothing but label values."""
    extra = [
        name for name, fact in facts.items() if name not in labels and not fact.first_not_binary
    ]
    if extra:
        raise DataError(
            f"These 0/1 columns are not among the known labels: {', '.join(extra)}. The known "
            f"labels are: {', '.join(known)}. If they are not labels, set data.ignore_columns="
            f"{','.join(extra)}; otherwise train with a file that has them.",
            path=path,
            column=extra[0],
        )


def detected_label_columns(
    facts: Mapping[str, ColumnFacts], data: DataOptions, path: str
) -> LabelColumns:
    """Decide where the labels are from the facts of all candidates.

    | candidates that are 0/1 | named like labels (lists go before texts) | the labels are |
    |---|---|---|
    | all | no, or not the only candidate | 0/1 columns: all |
    | all | the only candidate | ambiguous, unless indices are expected or all cells are empty |
    | some or none | one that holds lists | the names in it |
    | none | one that holds texts | the names in it |
    | some or none | others | ambiguous |
    | some or none | none | 0/1 columns, one of which has a wrong value |

    Raises `DataError` where it is ambiguous or wrong.
    """
    wrong = {name: fact.first_not_binary for name, fact in facts.items() if fact.first_not_binary}
    named = {name: fact.names for name, fact in facts.items() if fact.names is not None}
    binary = [name for name in facts if name not in wrong]
    lists = [name for name, cells in named.items() if cells.has_list]
    texts = [name for name in named if name in wrong]
    if not wrong and not (len(facts) == 1 and named):
        return LabelColumns(tuple(facts))
    if not wrong:
        [(only, cells)] = named.items()
        if data.label_names is None and cells.has_content:
            raise DataError(
                "All values are 0 or 1: these may be the values of one label, or names of labels. "
                f"Set data.label_columns={only} for the first, data.label_column={only} for the "
                "second.",
                path=path,
                column=only,
            )
        return LabelColumns(names=only)
    if len(lists) == 1:
        return LabelColumns(names=lists[0])
    if len(texts) == 1 and not lists and not binary:
        return LabelColumns(names=texts[0])
    if lists or texts:
        raise DataError(
            f"The labels may be the names in {' or '.join(lists or texts)}"
            + (f", or the 0/1 columns {', '.join(binary)}" if binary else "")
            + ". Set data.label_column=NAME or data.label_columns=NAME,NAME; columns that are not "
            "labels go to data.ignore_columns.",
            path=path,
        )
    worst = min(wrong, key=lambda name: wrong[name][0])
    line, cell = wrong[worst]
    valued = {name: facts[name].distinct for name in wrong if like_values(facts[name].distinct)}
    others = [name for name in wrong if name not in valued]
    advice = value_advice(valued)
    if others:
        advice += (
            " Every column except text and id is taken as a 0/1 label column; these hold other values: "
            f"{listed(others)}. If they are not labels, set data.ignore_columns="
            f"{','.join(others[:30])}; if one holds all labels of a row, set data.label_column="
            f"{others[0]}."
        )
    raise binary_error(cell, path, line, worst, advice, values=value_reader(data))
