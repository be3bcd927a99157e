"""Write rows into an Excel workbook: texts stay texts, whatever they look like."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from multihot.core.files import storage_errors
from multihot.errors import MissingExtraError, OptionError

__all__ = ["WorkbookWriter"]

_MAX_ROWS, _MAX_COLUMNS, _MAX_CHARACTERS = 1 << 20, 1 << 14, 32767
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class WorkbookWriter:
    """A workbook of one sheet that is being written, row by row.

    Parameters
    ----------
    path
        The name for messages; `save` says where the file goes.
    sheet
        The name of the sheet.

    Raises
    ------
    MissingExtraError
        openpyxl is not installed.
    """

    def __init__(self, path: Path, *, sheet: str = "Sheet1") -> None:
        try:
            import openpyxl
            from openpyxl.cell import WriteOnlyCell
        except ImportError:
            raise MissingExtraError("openpyxl", "excel", "Writing .xlsx workbooks") from None
        self._path = path
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet(sheet)
        self._new_cell = WriteOnlyCell
        self._num_rows = self._num_cut = self._num_replaced = 0

    def append(self, cells: Sequence[Any]) -> None:
        """Add a row of texts, numbers, bools, dates and `None`.

        Raises
        ------
        OptionError
            Excel allows no further row, or not so many columns.
        StorageError
            What is written aside until the end has no place.
        """
        self._num_rows += 1
        if self._num_rows > _MAX_ROWS or len(cells) > _MAX_COLUMNS:
            raise OptionError(
                f"{self._path}: a sheet of Excel has at most {_MAX_ROWS} rows and {_MAX_COLUMNS} columns. "
                "Write .csv instead."
            )
        with storage_errors(self._path):
            self._sheet.append(
                [self._text(cell) if isinstance(cell, str) else cell for cell in cells]
            )

    def copied(self, cell: Any) -> Any:
        """Return a cell that was read, as one that `append` takes: its value, and how a date is shown."""
        value = cell.value
        if cell.data_type not in ("d", "e") or value is None:
            return value
        copy = self._new_cell(self._sheet, value)
        if cell.data_type == "d":
            copy.number_format = cell.number_format
        return copy

    def _text(self, text: str) -> Any:
        if _NOT_IN_XML.search(text):
            self._num_replaced += 1
            text = _NOT_IN_XML.sub("\ufffd", text)
        if len(text) > _MAX_CHARACTERS:
            self._num_cut += 1
            text = text[:_MAX_CHARACTERS]
        if text[:1] not in ("=", "#"):
            return text
        cell = self._new_cell(self._sheet, text)
        cell.data_type = "s"  # no formula, and no error such as #N/A
        return cell

    def save(self, path: Path) -> None:
        """Write the workbook to a new file; raise `StorageError` where that fails."""
        from openpyxl.writer.excel import ExcelWriter

        with storage_errors(self._path), ZipFile(path, "w", ZIP_DEFLATED) as archive:
            ExcelWriter(self._book, archive).save()  # what its own save leaves open complains later

    def close(self) -> None:
        """Remove what was written aside; nothing more can be written."""
        with contextlib.suppress(Exception):  # what was saved is closed, and so is what has failed
            self._sheet.close()
        with contextlib.suppress(Exception):  # nor is there a file then, unless the disk was full
            self._sheet._writer.cleanup()

    def notes(self) -> list[str]:
        """Return what could not be kept."""
        notes = []
        if self._num_cut:
            notes.append(
                f"{self._num_cut} cells were cut to {_MAX_CHARACTERS} characters, which is all that a cell "
                "of Excel holds."
            )
        if self._num_replaced:
            notes.append(
                f"Control characters of {self._num_replaced} cells became \ufffd, since a workbook "
                "cannot hold them."
            )
        return notes
