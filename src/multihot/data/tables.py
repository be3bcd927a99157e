"""Choose the reader for a file: by its ending or `data.format`, checked against its content."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from multihot.data import columnar, delimited, huggingface, jsonlines
from multihot.data.rows import Table
from multihot.data.sniff import content_kind
from multihot.errors import DataError, OptionError
from multihot.options import DataOptions

__all__ = ["FORMATS", "file_format", "open_table"]

FORMATS = ("auto", "csv", "tsv", "jsonl", "parquet", "xlsx", "dataset")
"""What `data.format` may be."""

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_CONTENTS = {"csv": "text", "tsv": "text"}
_DESCRIPTIONS = {
    "text": "delimited text (CSV or TSV)",
    "jsonl": "JSON lines",
    "parquet": "a Parquet file",
    "xlsx": "an Excel workbook",
}


def open_table(path: str | Path, data: DataOptions) -> Table:
    """Open a file, folder or hub data set of texts.

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
    file = Path(path)
    try:
        if data.format == "dataset" or huggingface.is_saved_dataset(file):
            return huggingface.read_dataset(str(path), data.split)
        if file.is_dir():
            raise DataError(
                "This is a folder. Name a file in it; a folder of data files as Hugging Face datasets "
                "reads it needs data.format=dataset.",
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
        return _open(file, _format_of(file, data), data)
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", path=path) from None


def file_format(path: str | Path, data: DataOptions) -> str:
    """Return which format of `FORMATS` a table that `open_table` opens has."""
    file = Path(path)
    if data.format == "dataset" or huggingface.is_saved_dataset(file):
        return "dataset"
    return _format_of(file, data)


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


def _format_of(file: Path, data: DataOptions) -> str:
    """Return the format of a file; raise `DataError` when its content contradicts it."""
    said = data.format if data.format != "auto" else _ENDINGS.get(file.suffix.lower())
    found = content_kind(file, data.encoding)
    if found == "empty":
        raise DataError("The file is empty: expected a table of texts.", path=file)
    if found not in _DESCRIPTIONS:
        raise DataError(
            f"This looks like {found}, which cannot be read. Convert or unpack it to CSV, JSON lines, "
            "Parquet or .xlsx.",
            path=file,
        )
    if said is None:
        return "csv" if found == "text" else found
    if _CONTENTS.get(said, said) != found:
        source = f"data.format={said}" if data.format != "auto" else f"the ending {file.suffix}"
        right = "csv" if found == "text" else found
        raise DataError(
            f"By {source} this should be {_DESCRIPTIONS[_CONTENTS.get(said, said)]}, but it looks like "
            f"{_DESCRIPTIONS[found]}. Rename it, or set data.format={right}.",
            path=file,
        )
    return said


def _open(file: Path, kind: str, data: DataOptions) -> Table:
    if kind == "jsonl":
        return jsonlines.read_jsonlines(file, encoding=data.encoding)
    if kind == "parquet":
        return columnar.read_parquet(file)
    if kind == "xlsx":
        return columnar.read_workbook(file, sheet=data.sheet, header=data.header)
    return delimited.read_delimited(
        file,
        delimiter=data.delimiter,
        quoting=data.quoting,
        header=data.header,
        encoding=data.encoding,
        usual=_usual_delimiter(file, data),
    )


def _usual_delimiter(file: Path, data: DataOptions) -> str | None:
    """Return the delimiter that `data.format` or the ending promises."""
    said = data.format if data.format != "auto" else _ENDINGS.get(file.suffix.lower())
    return {"csv": ",", "tsv": "\t"}.get(said or "")
