"""Decide in which columns the labels are and how they are written; never guess silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multihot.core.options import DataOptions
from multihot.core.text_tables import listed
from multihot.data.columns.binary_labels import binary_error, value_reader
from multihot.data.columns.headings import (
    LABEL_NAMES,
    is_annotator_name,
    is_id_name,
    is_label_name,
    prediction_columns,
)
from multihot.data.columns.label_names import Spelling
from multihot.data.columns.name_cells import NameCells
from multihot.data.columns.text_and_id import required_column
from multihot.data.columns.value_words import like_values, value_advice
from multihot.errors import DataError, OptionError

__all__ = [
    "ColumnFacts",
    "LabelColumns",
    "detected_label_columns",
    "given_label_columns",
    "label_candidates",
    "name_columns",
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
    ways
        Whether its cells are written in `words` (true, false), in `digits`, or both.
    distinct
        Of a column with such a cell, distinct cells.
    """

    first_not_binary: tuple[int, Any] | None = None
    names: NameCells | None = None
    ways: frozenset[str] = frozenset()
    distinct: frozenset[str] = frozenset()


def label_candidates(
    columns: Sequence[str], data: DataOptions, taken: Sequence[str | None]
) -> list[str]:
    """Return the columns that may hold labels: not named like ids or annotators, without another meaning.

    Nor are predictions of our own, unless they are asked for by name.
    """
    predicted = {*prediction_columns(columns)} - {*data.label_columns}
    out = {*taken, *data.ignore_columns, *predicted}
    return [
        name
        for name in columns
        if name not in out and not is_id_name(name) and not is_annotator_name(name)
    ]


def _may_hold_names(column: str) -> bool:
    """Whether a column is named like one that holds all labels of a row."""
    return is_label_name(column)


def name_columns(candidates: Sequence[str]) -> list[str]:
    """Return those that may hold names: named as in `LABEL_NAMES`, and without such, otherwise."""
    usual = [name for name in candidates if name.casefold() in LABEL_NAMES]
    return usual or list(filter(_may_hold_names, candidates))


def given_label_columns(
    columns: Sequence[str],
    candidates: Sequence[str],
    data: DataOptions,
    path: str,
    *,
    known: Sequence[str] | None = None,
    spelling: Spelling | None = None,
) -> LabelColumns | None:
    """Return the label columns as options, known names and column names decide them.

    Parameters
    ----------
    candidates
        The columns that may hold labels.
    known
        Label names, when they are known: columns of these names are 0/1 columns. They must all be
        there unless `data.partial_labels`.
    spelling
        What makes names equal.

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
    spelling, names = spelling or Spelling(), set(known or ())
    if data.label_columns or any(spelling(name) in names for name in candidates):
        found = _named_columns(columns, candidates, data, spelling, known=known, path=path)
        return LabelColumns(found)
    if not candidates:
        predicted = prediction_columns(columns)
        advice = _whole_lines(columns) or (
            f" {predicted[0]} holds what a model predicted; data.label_column={predicted[0]} takes it for "
            "the truth."
            if predicted
            else ""
        )
        raise DataError(
            f"There is no label column. The columns are: {listed(columns)}. Labels are read from "
            "0/1 columns, one per label, or from one column of label names (data.label_column=NAME)."
            f"{advice}",
            path=path,
        )
    return None


def _whole_lines(columns: Sequence[str]) -> str:
    """Return what to do where a header seems to be one column because something else separates it."""
    if len(columns) > 1:
        return ""
    mark = next((mark for mark in "^:~ " if columns[0].count(mark)), None)
    if mark is None:
        return " If lines stand before the header, delete them."
    return (
        f" The header is one column: if {mark!r} separates columns, set 'data.delimiter={mark}'; if lines "
        "stand before the header, delete them."
    )


def _named_columns(
    columns: Sequence[str],
    candidates: Sequence[str],
    data: DataOptions,
    spelling: Spelling,
    *,
    known: Sequence[str] | None,
    path: str,
) -> tuple[str, ...]:
    """Return the known or wanted 0/1 columns, by name."""
    by_name: dict[str, str] = {}
    for column in columns:
        other = by_name.setdefault(spelling(column), column)
        if other != column and column in candidates and other in candidates:
            raise DataError(
                f"The columns '{other}' and '{column}' are the same label by data.label_case or "
                "data.label_aliases. Join them in the file, or rename one.",
                path=path,
                column=column,
            )
    wanted = [spelling(name) for name in known or data.label_columns]
    missing = [name for name in wanted if name not in by_name]
    if missing and not (known and data.partial_labels):
        named = [name for name in candidates if _may_hold_names(name)]
        advice = (
            f"If column '{named[0]}' holds the labels, set data.label_columns= (empty) and "
            f"data.label_column={named[0]}."
            if named and len(missing) == len(wanted)
            else "Add it; empty cells mean unknown."
            + " Files that lack labels are read with data.partial_labels=true." * bool(known)
        )
        raise DataError(
            f"The label column '{missing[0]}' is missing. The columns are: {listed(columns)}. {advice}",
            path=path,
        )
    labels = [by_name[name] for name in wanted if name in by_name]
    if not labels:
        raise DataError(
            f"No column is named like a known label. The columns are: {listed(columns)}; the known "
            f"labels are: {listed(known or ())}.",
            path=path,
        )
    return tuple(labels)


def refuse_further_columns(
    facts: Mapping[str, ColumnFacts], labels: Sequence[str], known: Sequence[str], path: str
) -> None:
    """Raise `DataError` when another column than `labels` holds nothing but label values."""
    wanted = set(labels)
    extra = [
        name for name, fact in facts.items() if name not in wanted and not fact.first_not_binary
    ]
    if extra:
        raise DataError(
            f"These 0/1 columns are not among the known labels: {listed(extra)}. The known "
            f"labels are: {listed(known)}. If they are not labels, set data.ignore_columns="
            f"{','.join(extra[:30])}; otherwise train with a file that has them, or set "
            "data.unknown_labels=ignore.",
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

    Where a few 0/1 columns are written true and false and the others 1 and 0, or the other way, it is
    ambiguous, too: flags about the rows are often written otherwise than labels.

    Raises `DataError` where it is ambiguous or wrong.
    """
    wrong = {name: fact.first_not_binary for name, fact in facts.items() if fact.first_not_binary}
    named = {
        name: fact.names
        for name, fact in facts.items()
        if fact.names is not None and (name in wrong or name.casefold() in LABEL_NAMES)
    }
    binary = [name for name in facts if name not in wrong]
    lists = [name for name, cells in named.items() if cells.has_list]
    texts = [name for name in named if name in wrong]
    if not wrong and not (len(facts) == 1 and named):
        _refuse_mixed_words(facts, path)
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
        votes = (
            " Where columns hold votes on the label that is named beside them, set data.label_column and "
            f"data.vote_columns={','.join(binary[:30])}."
            if binary and data.group_by is not None
            else ""
        )
        raise DataError(
            f"The labels may be the names in {listed(lists or texts).replace(', ', ' or ')}"
            + (f", or the 0/1 columns {listed(binary)}" if binary else "")
            + ". Set data.label_column=NAME or data.label_columns=NAME,NAME; columns that are not "
            f"labels go to data.ignore_columns.{votes}",
            path=path,
        )
    raise _wrong_value_error(facts, wrong, data, path)


def _wrong_value_error(
    facts: Mapping[str, ColumnFacts],
    wrong: Mapping[str, tuple[int, Any]],
    data: DataOptions,
    path: str,
) -> DataError:
    """Return the error for 0/1 columns that hold other values."""
    worst = min(wrong, key=lambda name: wrong[name][0])
    line, cell = wrong[worst]
    if isinstance(cell, dict) and cell:
        paths = [f"{worst}.{key}" for key in cell]
        return DataError(
            f"The column holds objects. If the labels are in one of their keys, set data.label_column="
            f"{paths[0]} (the keys: {listed(paths)}); if it has no labels, set data.ignore_columns="
            f"{worst}.",
            path=path,
            line=line,
            column=worst,
        )
    valued = {name: facts[name].distinct for name in wrong if like_values(facts[name].distinct)}
    others = [name for name in wrong if name not in valued]
    advice = value_advice(valued)
    if others:
        few = [name for name in others if facts[name].distinct]
        advice += (
            " Every column except text and id is taken as a 0/1 label column; these hold other values: "
            f"{listed(others)}. If they are not labels, set data.ignore_columns="
            f"{','.join(others[:30])}; if one holds all labels of a row, set data.label_column="
            f"{(few or others)[-1]}."
        )
    return binary_error(cell, path, line, worst, advice, values=value_reader(data))


def _refuse_mixed_words(facts: Mapping[str, ColumnFacts], path: str) -> None:
    words = [name for name, fact in facts.items() if fact.ways == {"words"}]
    digits = [name for name, fact in facts.items() if fact.ways == {"digits"}]
    few, many = sorted((words, digits), key=len)
    if few and len(few) < len(many):
        raise DataError(
            f"The columns {listed(few)} and {listed(many)} are written differently, some with true and "
            "false, others with 1 and 0: are all of them labels? If not, set data.ignore_columns="
            f"{','.join(few[:30])}; if they are, name all in data.label_columns.",
            path=path,
            column=few[0],
        )
