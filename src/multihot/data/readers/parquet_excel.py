"""Read Parquet files, with class names instead of class numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from multihot.data.readers.arrow_rows import arrow_batches, stored_class_names
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, named_columns
from multihot.errors import DataError, MissingExtraError

__all__ = ["read_parquet"]


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
        schema = file.schema_arrow
        stored_columns = schema.names
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    columns = named_columns(stored_columns, path, None)
    names, notes = stored_class_names((schema.metadata or {}).get(b"huggingface"))

    def batches() -> Iterator[CellBatch]:
        try:
            yield from arrow_batches(file.iter_batches(batch_size=batch_rows), names, path)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(path, error) from None

    return Table(columns, batches(), notes, batches, class_names=names, hints=tuple(notes))


def _damaged(path: Path, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"The file is damaged and cannot be read: {said}", path=path)
