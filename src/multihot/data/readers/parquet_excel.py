"""Read Parquet files and Excel workbooks, with class names instead of class numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.data.readers.arrow_rows import arrow_batches, stored_class_names
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, named_columns, nearest
from multihot.errors import DataError, MissingExtraError

__all__ = ["read_parquet", "read_workbook"]


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

    return Table(columns, batches(), notes, batches, class_names=names)


def read_workbook(path: Path, *, sheet: str | None = None, header: bool = True) -> Table:
    """Read one sheet of an .xlsx workbook; every cell becomes text, an empty one an empty text.

    The rows are the sheet's row numbers. Rows without any content are skipped and counted.

    Raises
    ------
    DataError
        The workbook is damaged, has no such sheet, or a row is longer than the header.
    MissingExtraError
        openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError("openpyxl", "excel", "Reading .xlsx workbooks") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and validation rules, which are not read
        try:
            with path.open("rb") as handle:  # a path would have to end with .xlsx
                workbook = openpyxl.load_workbook(handle, read_only=True, data_only=True)
                names = [worksheet.title for worksheet in workbook.worksheets]
                chosen = workbook[_sheet_of(names, sheet, path)]
                chosen.reset_dimensions()  # the stored ones may be wrong and would hide rows
                rows = chosen.iter_rows(values_only=True)
                cells = [[_cell_text(cell) for cell in row] for row in rows]
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - openpyxl raises whatever a damaged part causes
            raise _damaged(path, error) from None
    notes = [f"Sheet '{chosen.title}' of {listed(names)}."] if len(names) > 1 else []
    return _sheet_table(cells, header, path, notes)


def _sheet_of(names: Sequence[str], sheet: str | None, path: Path) -> str:
    if sheet is None:
        return names[0]
    if sheet not in names:
        raise DataError(
            f"There is no sheet '{sheet}' (data.sheet).{nearest(sheet, names)} The sheets are: "
            f"{listed(names)}.",
            path=path,
        )
    return sheet


def _cell_text(cell: Any) -> str:
    """Return a cell as text: 1.0, which is how Excel stores 1, as `1`; dates as ISO 8601."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _sheet_table(cells: list[list[str]], header: bool, path: Path, notes: list[str]) -> Table:
    filled = [(line, row) for line, row in enumerate(cells, start=1) if any(row)]
    if not filled:
        raise DataError("The sheet is empty: expected a table of texts.", path=path)
    num_blank = len(cells) - len(filled)
    if num_blank:
        notes.append(f"{num_blank} blank rows were skipped.")
    width = _width(filled[0][1]) if header else max(_width(row) for _, row in filled)
    first_line, first = filled[0]
    if header:
        columns = named_columns(first[:width], path, first_line)
        filled = filled[1:]
    else:
        columns = tuple(str(number) for number in range(1, width + 1))
    lines, rows = [], []
    for line, row in filled:
        if _width(row) > width:
            raise DataError(
                f"This row has {_width(row)} cells, but the header names {width} ({listed(columns)}).",
                path=path,
                line=line,
            )
        lines.append(line)
        rows.append([*row[:width], *[""] * (width - len(row))])
    return Table(
        columns, iter([CellBatch(lines, list(zip(*rows, strict=True)))] if rows else []), notes
    )


def _width(row: Sequence[str]) -> int:
    """Return the number of cells up to the last one that has content."""
    return max((place for place, cell in enumerate(row, start=1) if cell), default=0)


def _damaged(path: Path, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"The file is damaged and cannot be read: {said}", path=path)
