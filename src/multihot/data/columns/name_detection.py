"""Decide from all distinct cells of a column how it holds labels. Letters: `L` labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.binary_labels import label_value
from multihot.data.columns.foreign_cells import foreign_cell
from multihot.data.columns.headings import is_label_name
from multihot.data.columns.label_hierarchy import Ancestry
from multihot.data.columns.label_names import Spelling
from multihot.data.columns.name_cells import NameCell, NameCells
from multihot.data.columns.named_labels import NameForm
from multihot.data.columns.separators import (
    delimiter_option,
    doubtful_comma,
    doubtful_whole_cells,
    each_separates,
    inseparable_parts,
    looks_like_vectors,
    recurring_parts,
    shown_delimiter,
)
from multihot.data.columns.ways_of_writing import way_of_writing
from multihot.errors import DataError

__all__ = ["find_name_form"]

_MAX_EVIDENCE = 100_000  # distinct cells that are looked at for separators
_NUMBER = re.compile(r"[+-]?\d{1,80}(?:\.\d*)?", re.ASCII)
_COLLECTIONS = {
    "lists": "lists",
    "objects": "objects",
    "written": "lists written as text",
    "tags": "names in angle brackets",
    "choices": "choices of Label Studio",
}


def find_name_form(
    cells: NameCells,
    distinct: Callable[[], Iterator[NameCell]],
    *,
    path: str,
    column: str,
    data: DataOptions,
    known: Sequence[str] | None = None,
    indexed: Sequence[str] | None = None,
    spelling: Spelling | None = None,
    ancestry: Ancestry | None = None,
) -> NameForm:
    """Decide how a column holds labels.

    Parameters
    ----------
    cells
        What is known of all cells of the column.
    distinct
        Goes through the distinct cells.
    data
        `label_delimiter` (empty = one label a cell; `None` = detected), `label_key`, `soft_labels`.
    known
        The names that may occur; any name without it.
    indexed
        The names that 0-based indices and vectors are about. Cells are these when all of their parts
        are numbers and no name is one.
    spelling, ancestry
        What makes names equal, and what they imply.

    Raises
    ------
    DataError
        A cell is of another kind than the others, or it is ambiguous what separates labels.
    """
    form = NameForm(
        path,
        column,
        data,
        way_of_writing(cells, path, column, data),
        known=known,
        indexed=indexed,
        spelling=spelling or Spelling(),
        ancestry=ancestry,
    )
    if form.writing == "delimited":
        form, note = _with_delimiter(form, cells, distinct)
    else:
        note = f"Labels: {_COLLECTIONS[form.writing]} in column '{column}'."
    if "other" in cells.first and form.writing == "delimited":
        form.parts(*cells.first["other"])  # raises
    form, more = _with_content(form, distinct)
    return replace(form, note=note + more)


def _with_delimiter(
    form: NameForm, cells: NameCells, distinct: Callable[[], Iterator[NameCell]]
) -> tuple[NameForm, str]:
    """Return the form with what separates labels, given or detected, and a note."""
    if form.data.label_delimiter is not None or "other" in cells.first:
        form = replace(form, delimiter=form.data.label_delimiter)
        return form, _separated(form)
    if cells.fitting:
        form = replace(form, delimiter=cells.fitting[0])
        return form, _separated(form)
    marks = cells.delimiters
    if len(marks) > 1:
        raise _two_delimiters(form, marks, cells.example[1])
    form = replace(form, delimiter=marks[0] if marks else None)
    texts = _distinct_texts(distinct())
    _refuse_foreign(form, texts)
    if form.indexed and not marks and looks_like_vectors(texts) == len(form.indexed) > 1:
        form = replace(form, delimiter=" ")
        return form, _separated(form)
    if form.delimiter is not None:
        cell = doubtful_comma(texts, form.delimiter)
        if cell is not None:
            raise DataError(
                f"The comma in {cut(cell)} may separate two labels or belong to one name: none of the "
                f"parts stands in another cell. Set data.label_delimiter={form.delimiter} for the "
                "first, data.label_delimiter= (empty) for the second.",
                path=form.path,
                column=form.column,
            )
        together = inseparable_parts(texts, form.delimiter)
        return form, _separated(form) + (
            f" {cut(together)} always stand together: if this is one name, write the labels as JSON lists."
            if together is not None
            else ""
        )
    levels = None if form.ancestry is None else form.ancestry.separator
    doubt = doubtful_whole_cells(texts, levels)
    if doubt is not None:
        mark = shown_delimiter(doubt[0])
        raise DataError(
            f"{cut(doubt[1])} may be one label, or several that {_named(mark)} separates: its parts are "
            f"cells themselves. Set {delimiter_option(mark)} for several labels, "
            "data.label_delimiter= (empty) for one.",
            path=form.path,
            column=form.column,
        )
    note = _separated(form)
    recurring = recurring_parts(texts, levels)
    if recurring is not None:
        mark = shown_delimiter(recurring[0])
        note += (
            f" Parts of the names recur in other names: if {cut(recurring[1])} is several labels, set "
            f"data.label_delimiter={mark}."
        )
    return form, note


def _refuse_foreign(form: NameForm, texts: Sequence[str]) -> None:
    """Raise `DataError` for texts that are no label names, or in which two characters may separate them."""
    if form.indexed is None and (length := looks_like_vectors(texts)):
        raise DataError(
            f"The cells look like vectors of {length} values, 0 or 1 (as {cut(texts[0])}). Name the "
            "labels with data.label_names=FILE, one a line, or write one 0/1 column per label.",
            path=form.path,
            column=form.column,
        )
    foreign = foreign_cell(texts)
    if foreign is not None:
        raise DataError(
            f"{cut(foreign[0])} {foreign[1]} If it is one label, set data.label_delimiter= (empty).",
            path=form.path,
            column=form.column,
        )
    if form.delimiter == ";" and (cell := next((text for text in texts if ";#" in text), None)):
        raise _two_delimiters(form, [";#", ";"], cell)


def _two_delimiters(form: NameForm, marks: Sequence[str], cell: str) -> DataError:
    options = " or ".join(delimiter_option(shown_delimiter(mark)) for mark in marks)
    together = "".join(marks)
    if each_separates(together) and together.isprintable():
        options += f", or {delimiter_option(together)} where each of them separates"
    return DataError(
        f"More than one character may separate the labels: {' '.join(map(shown_delimiter, marks))} "
        f"(as in {cut(cell)}). Set {options}; data.label_delimiter= (empty) means one label a cell.",
        path=form.path,
        column=form.column,
    )


def _distinct_texts(distinct: Iterator[NameCell]) -> list[str]:
    cells = (cell for _, cell, _ in islice(distinct, _MAX_EVIDENCE) if cell is not None)
    return [text for text in map(str.strip, map(str, cells)) if text]


def _named(mark: str) -> str:
    return f"a {mark}" if mark in ("space", "newline", "tab") else f"'{mark}'"


def _separated(form: NameForm) -> str:
    mark = form.delimiter
    how = f"separated by '{shown_delimiter(mark)}'" if mark else "one a row"
    if mark and each_separates(mark):
        how = f"separated by any of {' '.join(map(shown_delimiter, mark))}"
    return f"Labels: names in column '{form.column}', {how}."


def _with_content(
    form: NameForm, distinct: Callable[[], Iterator[NameCell]]
) -> tuple[NameForm, str]:
    """Find out whether the parts of cells are names, numbers, or objects; return a note about it."""
    parts = _first_parts(form, distinct())
    if isinstance(parts, dict):
        return _with_objects(form, parts, distinct)
    if parts and isinstance(parts[0], dict):
        return _with_key(form, parts[0])
    if form.indexed is not None and parts and not any(map(_is_whole, form.indexed)):
        return _with_numbers(form, distinct, form.indexed)
    return form, ""


def _first_parts(form: NameForm, distinct: Iterator[NameCell]) -> Any:
    for line, cell, _ in distinct:
        parts = form.parts(line, cell)
        if parts:
            return parts
    return []


def _with_objects(
    form: NameForm, first: Mapping[Any, Any], distinct: Callable[[], Iterator[NameCell]]
) -> tuple[NameForm, str]:
    if form.data.label_key is not None:
        form = replace(form, content="keyed", key=form.data.label_key)
        return form, f" Names: key '{form.key}'."
    if len(first) == 1 and isinstance(next(iter(first.values())), list):
        [key] = first
        return replace(form, key=key), f" They are the list of the key '{key}'."
    soft = form.data.soft_labels
    if all(
        isinstance(value, str) and label_value(value, soft=soft) is None for value in first.values()
    ):
        line, _, _ = next(distinct())
        raise form.fail(line, form.not_a_name(first))
    form = replace(form, content="values")
    has_zero = any(0 in (form.values(line, cell) or {}).values() for line, cell, _ in distinct())
    if has_zero:
        return replace(form, unmentioned=math.nan), (
            " Each gives its labels a value; a label that it lacks is unknown."
        )
    return (
        form,
        " Each gives its labels a value, never 0; a label that it lacks counts as negative.",
    )


def _with_key(form: NameForm, first: Mapping[Any, Any]) -> tuple[NameForm, str]:
    key = form.data.label_key
    if key is None:
        keys = [name for name, value in first.items() if isinstance(value, str)]
        if len(keys) != 1:
            raise DataError(
                f"The labels are objects, such as {cut(first)}. Set data.label_key to the key that "
                f"holds the name{f': {listed(keys)}' if keys else ''}.",
                path=form.path,
                column=form.column,
            )
        [key] = keys
        lists = [name for name, value in first.items() if isinstance(value, list)]
        if lists and not is_label_name(key):
            raise DataError(
                f"The labels are objects, such as {cut(first)}: '{key}' is their only text, and "
                f"{listed(lists)} a list. If the names are in '{key}', set data.label_key={key}; else "
                "write a list of the names alone.",
                path=form.path,
                column=form.column,
            )
    others = [name for name in first if name != key]
    unused = f"; not used: {listed(others)}" if others else ""
    return replace(form, content="keyed", key=key), f" Names: key '{key}' of each object{unused}."


def _with_numbers(
    form: NameForm, distinct: Callable[[], Iterator[NameCell]], indexed: Sequence[str]
) -> tuple[NameForm, str]:
    """Tell vectors from indices where all parts are numbers.

    Vectors are of L values each, 0 or 1 (with soft labels, between). For the indices 0 and 1 of two
    labels, both labels in all rows is what the other reading would be.
    """
    are_whole = are_binary = True
    lengths: set[int] = set()
    highest, has_zero = 0, False
    for line, cell, _ in distinct():
        parts = form.parts(line, cell)
        if parts is None:
            continue
        if isinstance(parts, dict) or not all(map(_is_number, parts)):
            return form, ""
        are_whole = are_whole and all(map(_is_whole, parts))
        if are_whole and parts:
            indices = list(map(int, parts))
            highest, has_zero = max(highest, *indices), has_zero or 0 in indices
        are_binary = are_binary and all(
            label_value(part, soft=form.data.soft_labels) is not None for part in parts
        )
        lengths.add(len(parts))
    if lengths == {len(indexed)} and are_binary:
        if len(indexed) == 1 and not _has_one(form, distinct()):
            raise DataError(
                "All cells are 0: this may be the index of the only label, or the value 0 of it. "
                f"Name the labels in the cells, or write a 0/1 column '{indexed[0]}'.",
                path=form.path,
                column=form.column,
            )
        note = f" They are vectors of {len(indexed)} values, one for each label name."
        return replace(form, content="vectors", unmentioned=math.nan), note
    if are_whole:
        note = f" They are 0-based indices into {len(indexed)} label names."
        if highest and not has_zero:
            note += (
                " The index 0 never occurs: if indices count from 1, subtract 1 from each, or put a "
                "name for 0 before the others in data.label_names."
            )
        return replace(form, content="indices"), note
    raise DataError(
        f"The cells hold numbers or true and false, which are no label names: as vectors, all need "
        f"{len(indexed)} values of 0 and 1, one for each label name; as indices, whole numbers from 0. "
        "Values between 0 and 1 need data.soft_labels=true.",
        path=form.path,
        column=form.column,
    )


def _has_one(form: NameForm, distinct: Iterator[NameCell]) -> bool:
    return any(
        float(part) == 1 for line, cell, _ in distinct for part in form.parts(line, cell) or ()
    )


def _is_number(part: Any) -> bool:
    if isinstance(part, str):
        return _NUMBER.fullmatch(part.strip()) is not None
    return isinstance(part, (bool, int, float))


def _is_whole(part: Any) -> bool:
    if isinstance(part, str):
        return _is_number(part) and part.strip().isdigit()
    return isinstance(part, int) and not isinstance(part, bool)
