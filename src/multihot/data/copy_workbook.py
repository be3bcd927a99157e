"""Copy rows of a workbook into several workbooks. Letters: `N` rows, `F` files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import flush_file
from multihot.core.options import DataOptions
from multihot.data.workbook_writer import WorkbookWriter
from multihot.errors import DataError

__all__ = ["copy_workbook"]

BoolArray = npt.NDArray[np.bool_]
LineArray = npt.NDArray[np.int64]


def copy_workbook(
    path: Path, data: DataOptions, lines: LineArray, wanted: Mapping[Path, BoolArray]
) -> list[str]:
    """Copy rows of the sheet that is read, below its header, into new workbooks; return notes.

    Texts, numbers, bools, dates and errors stay what they are; formulas become their values.

    Parameters
    ----------
    lines
        *Shape:* (N,), int64. The row number of every row.
    wanted
        For each of F files, which rows it gets. *Shape:* (N,), bool, each.

    Raises
    ------
    DataError
        The workbook has changed since `lines` were read.
    StorageError
        A file cannot be written.
    """
    import openpyxl

    is_wanted = np.stack(list(wanted.values()), axis=1)  # (N, F)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # about styles and validation rules, which are not copied
        handle = stack.enter_context(path.open("rb"))
        book = openpyxl.load_workbook(handle, read_only=True, data_only=True)
        sheet: Any = book[data.sheet] if data.sheet is not None else book.worksheets[0]
        sheet.reset_dimensions()  # the stored ones may be wrong and would hide rows
        writers = [
            stack.enter_context(closing(WorkbookWriter(target, sheet=sheet.title)))
            for target in wanted
        ]
        row, needs_header = 0, data.header
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if row == len(lines):
                break
            is_row = number == lines[row]
            if not is_row and not (
                needs_header and any(cell.value not in (None, "") for cell in cells)
            ):
                continue
            targets = writers
            if is_row:
                targets = [writers[index] for index in np.flatnonzero(is_wanted[row])]
                row += 1
            needs_header = False
            for writer in targets:
                writer.append([writer.copied(cell) for cell in cells])
        if row != len(lines):
            raise DataError("The file changed while it was read. Start again.", path=path)
        notes = [
            f"The parts hold the values of the sheet '{sheet.title}'; formulas became their values, and "
            "styles and other sheets are left out."
        ]
        for target, writer in zip(wanted, writers, strict=True):
            writer.save(target)
            flush_file(target)
            notes += [f"{target.name}: {note}" for note in writer.notes()]
    return notes
