"""Parquet files, workbooks and other formats with corrected label cells."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from multihot.core.files import storage_errors
from multihot.data.copy_rows import as_json_line
from multihot.data.correcting.source import CorrectedFile, label_paths, label_places, label_rows
from multihot.data.readers.open_table import open_table
from multihot.data.workbook_writer import WorkbookWriter
from multihot.errors import DataError, OptionError

__all__ = ["write_json_lines", "write_parquet", "write_workbook"]


def write_parquet(source: CorrectedFile, target: Path) -> list[str]:
    """Write a Parquet file whose other columns, types and facts are those of the source; return notes."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(source.path)
    new: dict[str, list[Any]] = {}
    paths = label_paths(source)
    for row, line, cells in label_rows(source):
        if row not in source.changes:
            continue
        for name, cell in source.edited(row, line, cells).items():
            if len(paths[name]) > 1:
                raise OptionError(
                    "Labels inside of objects of a Parquet file cannot be written back."
                )
            if name not in new:
                new[name] = table.column(name).to_pylist()
            new[name][row] = cell
    for name, values in new.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        try:
            column = pyarrow.array(values, type=field.type)
        except (
            pyarrow.ArrowInvalid,
            pyarrow.ArrowTypeError,
            pyarrow.ArrowNotImplementedError,
        ) as error:
            raise DataError(
                f"The column cannot hold the corrections: {error}", path=source.path, column=name
            ) from None
        table = table.set_column(place, field, column)
    with storage_errors(target):
        pyarrow.parquet.write_table(table, target)
    return []


def write_workbook(source: CorrectedFile, target: Path) -> list[str]:
    """Write the sheet that is read as a workbook of its own; return notes."""
    import openpyxl

    places = label_places(source)
    new = {
        line: source.edited(row, line, cells)
        for row, line, cells in label_rows(source)
        if row in source.changes
    }
    with ExitStack() as stack:
        with warnings.catch_warnings(action="ignore"):
            book = stack.enter_context(
                closing(openpyxl.load_workbook(source.path, read_only=True, data_only=True))
            )
            sheet = book[source.data.sheet or book.sheetnames[0]]
            sheet.reset_dimensions()
            writer = stack.enter_context(closing(WorkbookWriter(target, sheet=sheet.title)))
            for line, cells in enumerate(sheet.iter_rows(), start=1):
                copied = [writer.copied(cell) for cell in cells]
                for name, cell in new.get(line, {}).items():
                    place = places[name]
                    copied += [None] * (place + 1 - len(copied))
                    copied[place] = int(cell) if cell in ("0", "1") else cell
                writer.append(copied)
        writer.save(target)
    return [
        f"The copy holds the values of the sheet '{sheet.title}'; formulas became their values, and "
        "styles and other sheets are left out.",
        *writer.notes(),
    ]


def write_json_lines(source: CorrectedFile, target: Path) -> list[str]:
    """Write the rows as JSON lines, for formats that cannot be written."""
    label_cells = label_rows(source)
    with storage_errors(target):
        output = target.open("x", encoding="utf-8", newline="\n")
    with output:
        for line, cells in open_table(source.path, source.data).rows:
            row, _, labels = next(label_cells)
            record = dict(zip(source.columns, cells, strict=True))
            if row in source.changes:
                new = source.edited(row, line, labels)
                if not new.keys() <= record.keys():
                    raise OptionError(
                        "Labels inside of objects cannot be written back in this format."
                    )
                record |= new
            with storage_errors(target):
                output.write(as_json_line(list(record), list(record.values())))
    return ["The copy is JSON lines, because rows of this format cannot be copied unchanged."]
