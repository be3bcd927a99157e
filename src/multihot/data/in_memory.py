"""Texts, labels and weights as scikit-learn users hold them: lists, arrays, frames, sparse matrices.

What could be taken for something else is refused, with its position and the way out.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AnySet
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace, normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.label_hierarchy import with_hierarchy
from multihot.data.examples import Examples
from multihot.errors import DataError, LabelError

__all__ = ["as_classes", "as_examples", "as_texts", "as_validation", "is_matrix"]

_SEPARATORS = ",;|"
_NOT_NUMBERS = (
    "The labels are an array with values that are not numbers{where}; expected 0, 1, a fraction "
    "between, or for unknown NaN, None or -1. Give names as lists, one per text."
)


def as_texts(X: Any) -> list[str]:
    """Return the texts as a list; raise `DataError` for all that is no sequence of strings.

    A string would become its letters, a mapping its keys, a table the names of its columns, and a
    text of two strings a pair.
    """
    _require_sequence(X, "texts", DataError)
    texts = list(X.to_pylist() if hasattr(X, "to_pylist") else X)
    for number, text in enumerate(texts):
        if type(text) is not str:
            texts[number] = _one_text(text, number)
    return texts


def _one_text(text: Any, number: int) -> str:
    if isinstance(text, str):  # numpy's strings
        return str(text)
    where = f"text {number} is {type(text).__name__} ({cut(text)}), expected a string."
    if _is_missing(text):
        raise DataError(f"{where} Leave missing texts out, or fill them with ''.")
    if isinstance(text, bytes | bytearray):
        raise DataError(f"{where} Decode it first: text.decode('utf-8').")
    if isinstance(text, list | tuple):
        raise DataError(f"{where} A text is one string, not a pair or a list: join its parts.")
    if isinstance(text, Mapping):
        raise DataError(f"{where} Take the text out of each row, such as row['text'].")
    raise DataError(where)


def _require_sequence(given: Any, what: str, error: type[DataError] | type[LabelError]) -> None:
    """Raise the `error` unless iterating over `given` yields one value per text."""
    start = f"expected a list of {what}, got"
    if isinstance(given, Examples):
        part = "texts" if what == "texts" else "labels"
        raise error(f"{start} Examples: pass their .{part}.")
    if isinstance(given, str):
        hint = "Put it in a list."
        if _is_file(given):
            hint = "To read a file: multihot.read_examples(path).texts."
        raise error(f"{start} one string: {cut(given)}. {hint}")
    if isinstance(given, bytes | bytearray):
        raise error(f"{start} bytes: {cut(given)}. Decode them and put them in a list.")
    if isinstance(given, PathLike):
        path = fspath(given)
        raise error(f"{start} a path: {path}. Read the file first: multihot.read_examples(path).")
    if isinstance(given, Mapping):
        raise error(
            f"{start} a {type(given).__name__}, which would yield its keys: {_keys(given)}."
        )
    if isinstance(given, AnySet) and not isinstance(given, type({}.keys())):
        raise error(f"{start} a {type(given).__name__}, which has no order. Pass a list.")
    if hasattr(given, "column_names") or len(getattr(given, "shape", (0,))) != 1:
        raise error(f"{start} {_table_hint(given)}")
    if not isinstance(given, Iterable):
        raise error(f"{start} {type(given).__name__} ({cut(given)}).")


def _keys(given: Mapping[Any, Any]) -> str:
    return f"{listed(list(given), 5)}. Pass a list, such as one of its values"


def _table_hint(given: Any) -> str:
    """Describe a table or array that is not one-dimensional, and name its columns."""
    columns = getattr(given, "column_names", getattr(given, "columns", None))
    shape = tuple(getattr(given, "shape", ()))
    if not isinstance(columns, Iterable) or isinstance(columns, Mapping | str):
        way = "one column, such as X[:, 0]" if len(shape) == 2 else "a one-dimensional array"
        return f"an array of the shape {shape}. Pass {way}."
    names = list(columns)
    named = [name for name in names if "text" in str(name).lower()]
    one = named[0] if named else names[0] if len(names) == 1 else "NAME"
    return (
        f"a {type(given).__name__} with the columns {listed(names, 10)}. Pass one column: "
        f"frame[{one!r}]."
    )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, or the missing value of pandas (NA, NaT)."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def is_matrix(y: Any) -> bool:
    """Return whether `y` is an array-like of numbers rather than lists of names."""
    return len(getattr(y, "shape", ())) == 2


def as_classes(classes: Any) -> tuple[str, ...] | None:
    """Return label names given as a list or an array, or `None`; raise `LabelError` otherwise."""
    if classes is None:
        return None
    expected = "expected a list of label names, in the order of the columns"
    ordered = isinstance(classes, Collection) and not isinstance(
        classes, str | bytes | Mapping | AnySet
    )
    if not ordered or len(getattr(classes, "shape", (0,))) != 1:
        raise LabelError(f"classes is {cut(classes)}; {expected}.")
    names = list(classes)
    for name in names:
        if isinstance(name, bool | np.bool_) or not isinstance(name, str | int | np.integer):
            raise LabelError(f"classes holds {cut(name)}; {expected}.")
    return tuple(map(str, names))


def as_examples(
    X: Any,
    y: Any,
    space: LabelSpace | None,
    source: str,
    *,
    sample_weight: npt.ArrayLike | None = None,
    columns: Sequence[str] | None = None,
    partial_labels: bool | None = None,
    rows_required: bool = False,
    hierarchy: str | None = None,
) -> Examples:
    """Return in-memory texts and labels as examples with row numbers for ids.

    Parameters
    ----------
    X, y
        N texts and their labels: a `LabelMatrix`, lists of names, or an array of *shape* (N, L).
    space
        The known labels, if any; the result has them in this order.
    source
        What the rows are, in messages.
    sample_weight
        *Shape:* (N,), at least 0.
    columns
        The names of an array's columns; default: those of a frame, else `space`, else 0, 1, ...
    partial_labels
        Whether 0/1 columns may lack some of the known labels, which are then unknown; `None` is no,
        and not to be advised.
    rows_required
        Whether no text with a known label is an error.
    hierarchy
        As `data.label_hierarchy`; default: that of `space`.
    """
    _require_same_order(X, y)
    texts = as_texts(X)
    labels, notes = _labels(y, space, columns, partial_labels=partial_labels)
    labels, own, of_hierarchy = with_hierarchy(labels, hierarchy, space)
    if len(texts) != len(labels):
        raise DataError(f"{source}: {len(texts)} texts, but {len(labels)} rows of labels.")
    if rows_required and not labels.known.any():
        found = "is no known label" if texts else "are no rows"
        raise DataError(f"{source}: there {found}, so there is nothing to measure.")
    numbers = list(range(1, len(texts) + 1))
    return Examples(
        texts=texts,
        labels=labels,
        ids=[str(number) for number in numbers],
        source=source,
        data=DataOptions(label_hierarchy=own),  # else the next file is recognised by itself
        notes=(*notes, *of_hierarchy),
        lines=numbers,
        weights=None if sample_weight is None else _weights(sample_weight, len(texts), source),
    )


def _require_same_order(X: Any, y: Any) -> None:
    """Refuse a series and a frame whose rows are the same, but in another order."""
    own: Any = getattr(X, "index", None)
    other: Any = getattr(y, "index", None)
    if not (hasattr(own, "equals") and hasattr(other, "equals")) or own.equals(other):
        return
    if len(own) == len(other) and own.is_unique and set(own) == set(other):
        raise DataError(
            "The index of the texts and that of the labels are the same in another order: align them "
            "(labels.loc[texts.index]), or pass both without an index (.to_numpy())."
        )


def _labels(
    y: Any,
    space: LabelSpace | None,
    columns: Sequence[str] | None,
    *,
    partial_labels: bool | None,
) -> tuple[LabelMatrix, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if isinstance(y, LabelMatrix):
        matrix = y
    elif is_matrix(y):
        names, notes = _column_names(y, space, columns)
        matrix = LabelMatrix(LabelSpace(names), _values(y, names))
    else:
        return _named_labels(y, space)
    if space is None:
        return matrix, notes
    lacking = [name for name in space.names if name not in set(matrix.space.names)]
    if lacking and not partial_labels and not matrix.lists_all:
        ask = ", or pass partial_labels=True to take them as unknown in all rows"
        raise LabelError(
            f"The labels have no column for {listed(lacking)}. Add them, with NaN where they are unknown"
            f"{'' if partial_labels is None else ask}."
        )
    return matrix.aligned_to(LabelSpace(space.names)), notes


def _column_names(
    y: Any, space: LabelSpace | None, columns: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of an array's columns, and a note where they had to be invented."""
    num_columns = y.shape[1]
    own = list(getattr(y, "columns", ()))
    # A frame that was made without names counts its columns, as an array does.
    if own and own != list(range(num_columns)):
        return tuple(map(str, own)), ()
    known = tuple(columns) if columns is not None else space.names if space is not None else None
    if known is not None:
        if len(known) != num_columns:
            raise LabelError(
                f"The labels are an array of {num_columns} columns; expected (rows, {len(known)}) for "
                f"the labels {listed(known)}"
            )
        return known, ()
    numbers = tuple(map(str, range(num_columns)))
    note = (
        f"The labels are an array without column names: they are called 0 to {num_columns - 1}. Pass "
        "classes=[...] to name them."
    )
    return numbers, (note,)


def _values(y: Any, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return label values as float32, unknown ones as NaN. *Shape:* (N, L)."""
    if isinstance(y, np.ma.MaskedArray):
        y = np.ma.filled(y.astype(np.float32), np.nan)
    # scipy's sparse matrices do not say their values to numpy unasked.
    dense = y.toarray() if hasattr(y, "toarray") else y
    if isinstance(dense, np.ndarray) and dense.dtype.kind in "cmM":
        raise LabelError(_NOT_NUMBERS.format(where=f", but of type {dense.dtype}"))
    try:
        values = np.array(dense, dtype=np.float32)
    except (TypeError, ValueError):
        values = _cell_by_cell(dense, names)
    values[values == -1] = np.nan
    return values


def _cell_by_cell(dense: Any, names: Sequence[str]) -> npt.NDArray[np.float32]:
    try:
        cells = np.asarray(dense, dtype=object)
    except (TypeError, ValueError):
        raise LabelError(_NOT_NUMBERS.format(where=f": {type(dense).__name__}")) from None
    values = np.full(cells.shape, np.nan, dtype=np.float32)
    for (row, column), cell in np.ndenumerate(cells):
        try:
            values[row, column] = np.nan if _is_missing(cell) else cell
        except (TypeError, ValueError):
            where = f": row {row}, column '{names[column]}' holds {cut(cell)}"
            raise LabelError(_NOT_NUMBERS.format(where=where)) from None
    return values


def _named_labels(y: Any, space: LabelSpace | None) -> tuple[LabelMatrix, tuple[str, ...]]:
    """Return the matrix of lists of names, and remarks on names that look like several."""
    _require_sequence(y, "labels for each text", LabelError)
    rows = list(y.to_pylist() if hasattr(y, "to_pylist") else y)
    if rows and all(isinstance(row, bool | np.bool_ | int | float | np.number) for row in rows):
        raise LabelError(
            f"The labels are one number for each of {len(rows)} texts; expected several labels: lists of "
            "names, or an array of the shape (texts, labels). One 0/1 label: np.reshape(y, (-1, 1))."
        )
    for number, row in enumerate(rows):
        if row is not None:
            _check_row(row, number)
    matrix = LabelMatrix.from_names(rows, space)
    return matrix, _several_names_in_one(matrix.space) if space is None else ()


def _check_row(row: Any, number: int) -> None:
    if isinstance(row, str):
        way = "Split it into names" if any(c in row for c in _SEPARATORS) else "Put it in a list"
        raise LabelError(
            f"Row {number} has the string {cut(row)} where a list of label names was expected. {way}."
        )
    if isinstance(row, Mapping):
        raise LabelError(
            f"Row {number} of the labels is a dict, which would yield all its keys: {cut(row)}. Pass the "
            "list of those that apply."
        )
    is_list = isinstance(row, Iterable) and len(getattr(row, "shape", (0,))) == 1
    if isinstance(row, bytes | bytearray) or not is_list:
        raise LabelError(
            f"Row {number} of the labels is {type(row).__name__} ({cut(row)}); expected a list of label "
            "names, [] for no label, or None for unlabelled."
        )


def _several_names_in_one(space: LabelSpace) -> tuple[str, ...]:
    """Refuse names made of other names; return a remark on names that hold a separator."""
    known = set(space.names)
    suspects = [name for name in space.names if any(c in name for c in _SEPARATORS)]
    seen: dict[str, str] = {}
    for name in suspects:
        for part in {normalized_name(part) for part in _parts(name)} - {""}:
            other = part if part in known else seen.get(part)
            if other is not None and other != name:
                raise LabelError(
                    f"The label {cut(name)} looks like several labels in one string: {cut(part)} also "
                    f"occurs in {cut(other)}. Split it into a list of names; if it is one name, pass all "
                    "names as classes=[...]."
                )
            seen[part] = name
    if not suspects:
        return ()
    return (f"Label names that hold a separator are taken as one label: {listed(suspects, 5)}.",)


def _parts(name: str) -> list[str]:
    for separator in _SEPARATORS[1:]:
        name = name.replace(separator, _SEPARATORS[0])
    return name.split(_SEPARATORS[0])


def _weights(sample_weight: npt.ArrayLike, num_rows: int, source: str) -> npt.NDArray[np.float32]:
    try:
        weights = np.asarray(sample_weight, dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError(f"{source}: sample_weight holds values that are not numbers.") from None
    if weights.shape != (num_rows,):
        raise DataError(
            f"{source}: sample_weight has the shape {weights.shape}; expected one number for each of "
            f"the {num_rows} texts."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise DataError(
            f"{source}: sample_weight of row {wrong[0]} is {weights[wrong[0]]:g}; expected a number, "
            "0 or more."
        )
    return weights


def as_validation(validation: Any, space: LabelSpace) -> Examples | None:
    """Return validation rows given as `Examples` or as (texts, labels) as examples."""
    if validation is None or isinstance(validation, Examples):
        return validation
    if isinstance(validation, tuple) and len(validation) == 2:
        texts, labels = validation
        return as_examples(texts, labels, space, "the validation data", rows_required=True)
    expected = "expected Examples, such as of multihot.read_examples(path), or (texts, labels)"
    if isinstance(validation, tuple):
        raise DataError(f"validation is a tuple of {len(validation)}; {expected}.")
    hint = ""
    if isinstance(validation, int | float):
        hint = f" For a part of the training rows: MultiLabelClassifier(validation_fraction={validation})."
    raise DataError(
        f"validation is {type(validation).__name__} ({cut(validation)}); {expected}.{hint}"
    )
