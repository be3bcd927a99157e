"""Rows of Arrow tables, with the class names that Hugging Face stores instead of class numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut
from multihot.data.readers.table import CellBatch
from multihot.errors import DataError

__all__ = ["arrow_batches", "class_names", "stored_class_names"]


def stored_class_names(metadata: bytes | None) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the class names in the metadata that Hugging Face writes into Parquet files, and notes.

    Metadata that is damaged or of another form is left out, which the note says.
    """
    if metadata is None:
        return {}, []
    try:
        features = json.loads(metadata)["info"]["features"]
        return class_names(features)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}, [
            "The Hugging Face metadata of this file cannot be read; class numbers, if there are any, stay "
            "numbers."
        ]


def class_names(
    features: Mapping[str, Any],
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the class names of every column of Hugging Face features (as plain values), and notes.

    A column has names when it is a `ClassLabel`, or a list of them.
    """
    found, notes = {}, []
    for column, feature in features.items():
        inner = feature
        while isinstance(inner, Mapping) and isinstance(inner.get("feature"), Mapping):
            inner = inner["feature"]
        if isinstance(inner, list) and len(inner) == 1:  # how older versions write a list
            inner = inner[0]
        if not isinstance(inner, Mapping) or inner.get("_type") != "ClassLabel":
            continue
        names = inner.get("names")
        if not names:
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            notes.append(f"The class names of column '{column}' are no texts; they are ignored.")
            continue
        found[column] = tuple(names)
    return found, notes


def arrow_batches(
    tables: Iterable[Any], names: Mapping[str, tuple[str, ...]], path: str | Path
) -> Iterator[CellBatch]:
    """Yield the rows of Arrow tables or record batches with 1-based row numbers.

    Class numbers become lists of names, also single ones, so that no name is cut at a comma; the
    number -1, which stands for no annotation, becomes `None`.

    Raises `DataError` for a class number without a name, or a cell that Python cannot hold.
    """
    num_before = 0
    for table in tables:
        columns = []
        for column, values in zip(table.schema.names, table.columns, strict=True):
            cells = _cells(values, path, num_before, column)
            if column in names:
                cells = [
                    _named(cell, names[column], path, row, column)
                    for row, cell in enumerate(cells, start=num_before + 1)
                ]
            columns.append(cells)
        yield CellBatch(range(num_before + 1, num_before + table.num_rows + 1), columns)
        num_before += table.num_rows


def _cells(values: Any, path: str | Path, num_before: int, column: str) -> list[Any]:
    try:
        cells: list[Any] = values.to_pylist()
    except (ValueError, OverflowError, TypeError):  # such as bytes that are not UTF-8
        for row, value in enumerate(values, start=num_before + 1):
            try:
                value.as_py()
            except (ValueError, OverflowError, TypeError) as error:
                raise DataError(
                    f"The cell cannot be read: {str(error) or type(error).__name__}. Write the file again.",
                    path=path,
                    line=row,
                    column=column,
                ) from None
        raise
    return _without_pairs(cells, values.type, path, num_before, column)


def _without_pairs(
    cells: list[Any], kind: Any, path: str | Path, num_before: int, column: str
) -> list[Any]:
    """Return the cells of a map column as objects; other cells are left as they are."""
    import pyarrow

    if not pyarrow.types.is_map(kind):
        return cells
    for row, cell in enumerate(cells, start=num_before + 1):
        if cell is not None and len(dict(cell)) < len(cell):
            raise DataError(
                "A key occurs more than once in this map. Write each key once.",
                path=path,
                line=row,
                column=column,
            )
    return [None if cell is None else dict(cell) for cell in cells]


def _named(
    cell: Any, names: tuple[str, ...], path: str | Path, row: int, column: str
) -> list[str] | None:
    if cell is None or cell == -1:
        return None
    numbers = cell if isinstance(cell, list) else [cell]
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(names):
            raise DataError(
                f"{cut(number)} is not the number of one of the {len(names)} classes that the file names "
                "(0 is the first).",
                path=path,
                line=row,
                column=column,
            )
    return [names[number] for number in numbers]
