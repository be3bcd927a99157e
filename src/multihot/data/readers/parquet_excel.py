"""Read Parquet files, with class names instead of class numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, named_columns
from multihot.errors import DataError, MissingExtraError

__all__ = ["arrow_batches", "class_names", "read_parquet"]


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the class names of every column of Hugging Face features (as plain values) that has some.

    A column has names when it is a `ClassLabel`, or a list of them.
    """
    found = {}
    for column, feature in features.items():
        inner = feature
        while isinstance(inner, Mapping) and isinstance(inner.get("feature"), Mapping):
            inner = inner["feature"]
        if isinstance(inner, list) and len(inner) == 1:  # how older versions write a list
            inner = inner[0]
        if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            found[column] = list(inner["names"])
    return found


def arrow_batches(tables: Iterable[Any], names: Mapping[str, list[str]]) -> Iterator[CellBatch]:
    """Yield the rows of Arrow tables or record batches with 1-based row numbers.

    Class numbers become lists of names, also single ones, so that no name is cut at a comma; the
    number -1, which stands for no annotation, becomes `None`.
    """
    num_before = 0
    for table in tables:
        columns = [
            [_named(cell, names[column]) for cell in values] if column in names else values
            for column, values in zip(
                table.schema.names, (column.to_pylist() for column in table.columns), strict=True
            )
        ]
        yield CellBatch(range(num_before + 1, num_before + table.num_rows + 1), columns)
        num_before += table.num_rows


def _named(cell: Any, names: list[str]) -> list[str] | None:
    if cell is None or cell == -1:
        return None
    numbers = cell if isinstance(cell, list) else [cell]
    return [names[number] for number in numbers]


def read_parquet(path: Path, *, batch_rows: int = BATCH_ROWS) -> Table:
    """Open a Parquet file; class names that Hugging Face stored in it replace class numbers.

    `batch_rows` are read at once.

    Raises
    ------
    DataError
        The file is damaged.
    MissingExtraError
        pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "Reading Parquet files") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    columns = named_columns(file.schema_arrow.names, path, None)
    metadata = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    names = class_names(json.loads(metadata).get("info", {}).get("features", {}))

    def batches() -> Iterator[CellBatch]:
        try:
            yield from arrow_batches(file.iter_batches(batch_size=batch_rows), names)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(path, error) from None

    return Table(columns, batches(), again=batches)


def _damaged(path: Path, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"The file is damaged and cannot be read: {said}", path=path)
