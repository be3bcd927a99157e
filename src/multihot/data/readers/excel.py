"""Read one sheet of an Excel workbook as a table of texts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.data.readers.sheet_cells import (
    SheetFindings,
    SheetRow,
    TextReader,
    cell_name,
    stored_rows,
)
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, named_columns, nearest
from multihot.errors import DataError, MissingExtraError

__all__ = ["read_workbook"]

_MAX_BATCH_CELLS = 1 << 20
_MAX_CELLS = 1 << 28
_MIN_FILLED = 1 / 64
_LISTED_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^>]*\bid=")


def read_workbook(
    path: Path, *, sheet: str | None = None, header: bool = True, batch_rows: int = BATCH_ROWS
) -> Table:
    """Read one sheet of an .xlsx workbook; every cell becomes text, an empty one an empty text.

    The rows are the sheet's row numbers. Rows without any content are skipped and counted. A cell
    with an error, or with a formula that was never computed, is a fault of its column.

    Raises
    ------
    DataError
        The workbook is damaged, has no such sheet, or a row is longer than the header; or it reaches
        so far that it cannot be served.
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
                sheets = _Sheets.of(workbook, sheet, path)
                chosen = workbook[sheets.chosen]
                reader = _text_reader(workbook, chosen)
                with chosen._get_source() as source:
                    rows = list(stored_rows(source, reader))
                calculation = getattr(workbook, "calculation", None)
                is_computed = not getattr(calculation, "fullCalcOnLoad", False)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - openpyxl raises whatever a damaged part causes
            raise _damaged(path, error) from None
    found = reader.found
    if (
        not is_computed
    ):  # what Excel would replace on opening; some programs store 0 for all formulas
        for column, line in found.zero_formulas.items():
            if column not in found.other_formulas:
                found.faults.setdefault(
                    column, (line, "a formula whose value was never computed (0 is stored)")
                )
    return _sheet_table(rows, sheets, found, header=header, path=path, batch_rows=batch_rows)


@dataclass(frozen=True)
class _Sheets:
    """The sheets of a workbook, hidden ones marked, and the one that is read."""

    chosen: str
    shown: tuple[str, ...]

    @classmethod
    def of(cls, workbook: Any, sheet: str | None, path: Path) -> _Sheets:
        worksheets = workbook.worksheets
        names = [worksheet.title for worksheet in worksheets]
        shown = [
            name if worksheet.sheet_state == "visible" else f"{name} (hidden)"
            for name, worksheet in zip(names, worksheets, strict=True)
        ]
        num_listed = len(_LISTED_SHEET.findall(workbook._archive.read("xl/workbook.xml")))
        if num_listed > len(workbook.sheetnames):
            raise ValueError(f"it lists {num_listed} sheets, but holds {len(workbook.sheetnames)}")
        if not names:
            raise DataError("The workbook has no sheet with cells, only charts.", path=path)
        if sheet is not None and sheet not in names:
            raise DataError(
                f"There is no sheet {cut(sheet)} (data.sheet).{nearest(sheet, names)} The sheets are: "
                f"{listed(shown)}.",
                path=path,
            )
        return cls(names[0] if sheet is None else sheet, tuple(shown))

    def note(self) -> list[str]:
        return [f"Sheet '{self.chosen}' of {listed(self.shown)}."] if len(self.shown) > 1 else []

    def advice(self) -> str:
        if len(self.shown) < 2:
            return ""
        return (
            f"This is the sheet '{self.chosen}'; the workbook has the sheets {listed(self.shown)}. "
            "Choose another with data.sheet=NAME."
        )


def _text_reader(workbook: Any, sheet: Any) -> TextReader:
    from openpyxl.cell.text import Text
    from openpyxl.utils import column_index_from_string
    from openpyxl.utils.datetime import from_excel, from_ISO8601

    durations = workbook._timedelta_formats

    def as_date(number: float, style: int) -> Any:
        return from_excel(number, workbook.epoch, timedelta=style in durations)

    def inline_text(element: Any) -> str:
        return str(Text.from_tree(element).content)

    return TextReader(
        sheet._shared_strings,
        workbook._date_formats,
        as_date=as_date,
        as_iso_date=from_ISO8601,
        inline_text=inline_text,
        column_number=column_index_from_string,
    )


def _sheet_table(
    rows: list[SheetRow],
    sheets: _Sheets,
    found: SheetFindings,
    *,
    header: bool,
    path: Path,
    batch_rows: int,
) -> Table:
    if not rows:
        raise _explained(
            DataError("The sheet is empty: expected a table of texts.", path=path), sheets
        )
    notes = sheets.note()
    num_blank = rows[-1][0] - len(rows)
    if num_blank:
        notes.append(f"{num_blank} blank rows were skipped.")
    try:
        columns, rows = _columns(rows, found, header=header, path=path)
    except DataError as error:
        raise _explained(error, sheets) from None
    notes += _notes(found, columns)
    faults = {
        columns[column - 1]: _fault(line, column, what, path, columns[column - 1])
        for column, (line, what) in found.faults.items()
        if column <= len(columns)
    }
    batches = _batches(rows, len(columns), batch_rows)
    return Table(
        columns, batches(), notes, batches, is_held=True, faults=faults, advice=sheets.advice()
    )


def _explained(error: DataError, sheets: _Sheets) -> DataError:
    error.args = (f"{error} {sheets.advice()}".strip(),)
    return error


def _columns(
    rows: list[SheetRow], found: SheetFindings, *, header: bool, path: Path
) -> tuple[tuple[str, ...], list[SheetRow]]:
    """Return the columns and the rows below the header; raise `DataError` for a row that is too long."""
    if not header:
        widest = max(rows, key=_width)
        width = _width(widest)
        num_filled = sum(len(texts) for _, _, texts in rows)
        if len(rows) * width > _MAX_CELLS and num_filled < _MIN_FILLED * len(rows) * width:
            raise DataError(
                f"{len(rows)} rows of {width} columns would be {len(rows) * width} cells, of which "
                f"{num_filled} have content. The widest row ends with cell "
                f"{cell_name(widest[0], width)}: delete what is far from the table.",
                path=path,
                line=widest[0],
            )
        return tuple(map(str, range(1, width + 1))), rows
    first = rows[0]
    line, width = first[0], _width(first)
    for column, (place, what) in found.faults.items():
        if place == line:
            raise _fault(line, column, what, path, None)
    if first[1] is not None:  # its cells are far apart
        raise DataError(
            f"The header ends with cell {cell_name(line, width)}, far behind the others, of which there are "
            f"{len(first[2]) - 1}. Delete what is far from the table; if the sheet has no header, set "
            "data.header=false.",
            path=path,
            line=line,
        )
    columns = named_columns(_dense(first, width), path, line)
    for row in rows:
        if _width(row) > width:
            raise DataError(
                f"This row has {_width(row)} cells, but the header names {width} ({listed(columns)}). "
                f"The last is {cell_name(row[0], _width(row))}.",
                path=path,
                line=row[0],
            )
    return columns, rows[1:]


def _notes(found: SheetFindings, columns: Sequence[str]) -> list[str]:
    notes = []
    dates = {column: line for column, line in found.dates.items() if column <= len(columns)}
    if dates:
        names = listed([columns[column - 1] for column in sorted(dates)])
        cell = cell_name(*min((line, column) for column, line in dates.items()))
        notes.append(
            f"Cells with dates (the first is {cell}) became texts such as 2024-05-01, in: {names}. "
            "For labels, format these cells as text in Excel if they were not meant as dates."
        )
    if found.merged:
        several = (
            f"{found.merged} merged ranges, the first is" if found.merged > 1 else "Merged range"
        )
        notes.append(
            f"{several} {found.first_merged}: only the upper left cell of a merged range has its value, "
            "the others are empty."
        )
    return notes


def _fault(line: int, column: int, what: str, path: Path, name: str | None) -> DataError:
    return DataError(
        f"Cell {cell_name(line, column)} holds {what}. Open the workbook in Excel or LibreOffice, correct "
        "the cell where it shows an error, and save it there, which stores the values of formulas; or name "
        "a column that is not needed in data.ignore_columns.",
        path=path,
        line=line,
        column=name,
    )


def _batches(
    rows: Sequence[SheetRow], width: int, batch_rows: int
) -> Callable[[], Iterator[CellBatch]]:
    num_rows = max(1, min(batch_rows, _MAX_BATCH_CELLS // width))

    def batches() -> Iterator[CellBatch]:
        for start in range(0, len(rows), num_rows):
            window = rows[start : start + num_rows]
            cells = [_dense(row, width) for row in window]
            yield CellBatch([line for line, _, _ in window], list(zip(*cells, strict=True)))

    return batches


def _width(row: SheetRow) -> int:
    """Return the number of cells up to the last one that has content."""
    _, places, texts = row
    return len(texts) if places is None else places[-1]


def _dense(row: SheetRow, width: int) -> list[str]:
    """Return the texts of all columns of a row."""
    _, places, texts = row
    if places is None:
        return texts if len(texts) == width else [*texts, *[""] * (width - len(texts))]
    cells = [""] * width
    for place, text in zip(places, texts, strict=True):
        cells[place - 1] = text
    return cells


def _damaged(path: Path, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"The file is damaged and cannot be read: {said}", path=path)
