"""Label names: their one form, and files that list them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from multihot.data.encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = ["clean_name", "read_label_names"]


def clean_name(name: str) -> str:
    """Return a label name as `LabelSpace` keeps it: NFC and stripped."""
    return unicodedata.normalize("NFC", name).strip()


def read_label_names(path: str | Path) -> tuple[str, ...]:
    """Read a file with one label name a line; the order counts, so blank lines are errors."""
    file = Path(path)
    if not file.is_file():
        raise DataError("There is no such file of label names (data.label_names).", path=path)
    names = [clean_name(line) for line in read_lines(file, file_encoding(file).name)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError("The file of label names is empty: expected one name a line.", path=path)
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError("There is a blank line between label names.", path=path, line=number)
        if name in names[: number - 1]:
            first = names.index(name) + 1
            raise DataError(
                f"The label name '{name}' occurs twice; the first is in line {first}. Remove one.",
                path=path,
                line=number,
            )
    return tuple(names)
