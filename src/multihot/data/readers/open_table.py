"""Choose the reader for a file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multihot.core.options import DataOptions
from multihot.data.readers import (
    delimited,
    huggingface,
    json_documents,
    text_folder,
    text_lines,
)
from multihot.data.readers import jsonl as jsonlines
from multihot.data.readers.excel import read_workbook
from multihot.data.readers.file_kind import FORMATS, FileFormat, format_of
from multihot.data.readers.guarded_cells import unguarded_table
from multihot.data.readers.label_studio import LabelStudio, flat_table, is_flat_export
from multihot.data.readers.parquet_excel import read_parquet
from multihot.data.readers.table import BATCH_ROWS, Table
from multihot.data.readers.text_encoding import BLOCK_BYTES, assumed_encoding, file_encoding
from multihot.errors import DataError, OptionError

__all__ = ["open_table", "table_format"]

_OF_A_MODEL = ("config.json", "model.onnx", "openvino_model.xml")
"""A folder that has one of these is no folder of data."""


def open_table(
    path: str | Path,
    data: DataOptions,
    *,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a file, folder or hub data set of texts.

    Parameters
    ----------
    is_provisional
        Take encoding and columns of a text file from its beginning, instead of reading the whole
        file for them beforehand; see `Table.is_provisional`.
    batch_rows, block_bytes
        How many rows and bytes of a text file are read at once.

    Raises
    ------
    DataError
        It does not exist, is a pipe, is empty, or is not what its ending or `data.format` says.
    OptionError
        `data.format` is unknown.
    MissingExtraError
        The package that reads this format is not installed.
    """
    if data.format not in FORMATS:
        raise OptionError(f"data.format={data.format} is unknown. Known: {', '.join(FORMATS)}.")
    if not str(path):
        raise DataError("The name of a data file is empty, as of a variable that is not set.")
    file = Path(path)
    try:
        folder = _format_of_folder(file, data)
        if folder == "dataset":
            return huggingface.read_dataset(str(path), data.split)
        if folder == "folder":
            return text_folder.read_text_folder(file, encoding=data.encoding, batch_rows=batch_rows)
        if file.is_dir():
            is_model = any((file / name).is_file() for name in _OF_A_MODEL)
            hint = " As a model, it lacks thresholds.json." if is_model else ""
            raise DataError(
                "This is a folder. Name a file in it; a folder of data files as Hugging Face datasets "
                "reads it needs data.format=dataset, a folder of .txt files with one text each "
                f"data.format=folder.{hint}",
                path=path,
            )
        if not file.exists():
            raise _missing(file)
        if not file.is_file():
            raise DataError(
                "This is a pipe or a device; a file is expected, since it is read more than once. "
                "Save the rows in a file first, or, to predict, send them to --input -.",
                path=path,
            )
        kind = format_of(file, data)
        table = _opened(
            file,
            kind,
            data,
            is_provisional=is_provisional,
            batch_rows=batch_rows,
            block_bytes=block_bytes,
        )
        table.notes[:0] = kind.notes
        return table
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", path=path) from None


_READERS: dict[str, Callable[..., Table]] = {
    "jsonl": jsonlines.read_jsonlines,
    "fasttext": text_lines.read_fasttext,
    "libmultilabel": text_lines.read_libmultilabel,
}


def _opened(
    file: Path,
    kind: FileFormat,
    data: DataOptions,
    *,
    is_provisional: bool,
    batch_rows: int,
    block_bytes: int,
) -> Table:
    if kind.name == "parquet":
        return read_parquet(file)
    if kind.name == "xlsx":
        return read_workbook(file, sheet=data.sheet, header=data.header)
    find_encoding = assumed_encoding if is_provisional else file_encoding
    reading: dict[str, Any] = {
        "encoding": find_encoding(file, data.encoding),
        "is_provisional": is_provisional,
        "batch_rows": batch_rows,
        "block_bytes": block_bytes,
    }
    export = LabelStudio(file, data.label_column, data.group_by is not None)
    is_auto = data.format == "auto"  # a format that is named is read as it is
    if kind.name == "json":
        return json_documents.read_json_documents(
            file, label_studio=export if is_auto else None, **reading
        )
    if kind.name == "lines":
        return text_lines.read_text_lines(
            file,
            data.label_file,
            label_delimiter=data.label_delimiter,
            may_be_numbers=data.label_names is not None,
            **reading,
        )
    if kind.name in _READERS:
        return _READERS[kind.name](file, **reading)
    table = delimited.read_delimited(
        file,
        delimiter=data.delimiter,
        quoting=data.quoting,
        header=data.header,
        usual=kind.usual_delimiter,
        **reading,
    )
    is_flat = is_auto and is_flat_export(table.columns)
    return flat_table(table, export) if is_flat else unguarded_table(table)


def table_format(path: str | Path, data: DataOptions) -> FileFormat:
    """Return what the table is that `open_table` opens."""
    file = Path(path)
    for kind in ("dataset", "folder"):
        if kind == _format_of_folder(file, data):
            return FileFormat(kind, file.name, None, is_said=data.format != "auto", notes=())
    return format_of(file, data)


def _format_of_folder(file: Path, data: DataOptions) -> str | None:
    """Return `dataset` or `folder`, or `None` when the table is a file."""
    if data.format == "dataset" or huggingface.is_saved_dataset(file):
        return "dataset"
    if data.format == "folder" or text_folder.is_text_folder(file):
        return "folder"
    return None


def _missing(file: Path) -> DataError:
    folder = file.parent
    names = os.listdir(folder) if folder.is_dir() else []
    near = difflib.get_close_matches(file.name, names, n=1)
    if near:
        advice = f" Did you mean {folder / near[0]}?"
    elif not folder.is_dir():
        advice = f" The folder {folder} does not exist either."
    else:
        advice = " A data set on the Hugging Face hub is read with data.format=dataset."
    return DataError(f"There is no such file.{advice}", path=file)
