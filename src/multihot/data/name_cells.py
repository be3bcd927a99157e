"""Read label names from the cells of one column: delimited texts, lists, or indices."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.data.encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = ["NameCells", "clean_name", "name_cells", "read_label_names"]

_DELIMITERS = ("|", ";", ",", "，", "、", "；")
"""What may separate labels when that is detected. White space never does: names may contain it."""

Rows = list[list[Any] | None]


@dataclass(frozen=True)
class NameCells:
    """Label names of N rows, read from one column.

    Attributes
    ----------
    names
        The names of each row; `None` = unlabelled.
    delimiter
        What separates the labels of a cell; `None` when nothing does or the cells are lists.
    note
        What was recognised.
    """

    names: list[list[str] | None]
    delimiter: str | None
    note: str


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


def name_cells(
    cells: Sequence[Any],
    lines: Sequence[int],
    *,
    path: str,
    column: str,
    delimiter: str | None = None,
    known: Sequence[str] | None = None,
    indexed: Sequence[str] | None = None,
) -> NameCells:
    """Read the label names of every row.

    `None` is an unlabelled row; an empty text or list has no label.

    Parameters
    ----------
    cells, lines
        *Shape:* N each: the cells and the line each stands in.
    delimiter
        What separates the labels of a cell; empty = one label a cell; `None` = detected.
    known
        The names that may occur; any name without it.
    indexed
        The names that 0-based indices stand for. Cells are indices when all of them are whole
        numbers and no name is one.

    Raises
    ------
    DataError
        A cell, an index or a name is wrong, or the delimiter is ambiguous.
    """

    def fail(line: int, message: str) -> DataError:
        return DataError(message, path=path, line=line, column=column)

    if any(isinstance(cell, list) for cell in cells):
        rows, note = _lists(cells, lines, fail), f"Labels: lists in column '{column}'."
    else:
        texts = _texts(cells, lines, fail)
        if delimiter is None and _look_like_lists(texts):
            pairs = zip(texts, lines, strict=True)
            rows = [_written_list(text, line, fail) for text, line in pairs]
            note = f"Labels: lists written as text in column '{column}'."
        else:
            if delimiter is None:
                delimiter = _detect_delimiter([text for text in texts if text], known, path, column)
            rows = [None if text is None else _split(text, delimiter) for text in texts]
            how = f"separated by '{delimiter}'" if delimiter else "one a row"
            note = f"Labels: names in column '{column}', {how}."
    if indexed is not None and _are_indices(rows, indexed):
        rows = [
            None if row is None else _from_indices(row, indexed, line, fail)
            for row, line in zip(rows, lines, strict=True)
        ]
        note += f" They are 0-based indices into {len(indexed)} label names."
    names = [
        None if row is None else _checked(row, known, line, fail)
        for row, line in zip(rows, lines, strict=True)
    ]
    return NameCells(names, delimiter, note)


Fail = Callable[[int, str], DataError]


def _lists(cells: Sequence[Any], lines: Sequence[int], fail: Fail) -> Rows:
    for cell, line in zip(cells, lines, strict=True):
        if not (cell is None or isinstance(cell, list)):
            raise fail(
                line, f"{cell!r} is not a list, but other rows have a list of label names here."
            )
    return list(cells)


def _texts(cells: Sequence[Any], lines: Sequence[int], fail: Fail) -> list[str | None]:
    """Return every cell as stripped text; a whole number may be an index."""
    for cell, line in zip(cells, lines, strict=True):
        if isinstance(cell, bool) or not (cell is None or isinstance(cell, (str, int))):
            raise fail(line, f"{cell!r} is not a label name, nor a list of label names.")
    return [None if cell is None else str(cell).strip() for cell in cells]


def _look_like_lists(texts: Sequence[str | None]) -> bool:
    """Whether every cell is a list as JSON or Python writes it, such as `['joy', 'love']`."""
    filled = [text for text in texts if text]
    return bool(filled) and all(text[0] == "[" and text[-1] == "]" for text in filled)


def _written_list(text: str | None, line: int, fail: Fail) -> list[Any] | None:
    if not text:
        return None if text is None else []
    try:
        if re.search(r"""['"]\s+['"]""", text):  # numpy's form, which Python reads as one name
            raise ValueError(text)
        return list(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise fail(line, f"{text!r} looks like a list, but cannot be read as one.") from None


def _split(text: str, delimiter: str | None) -> list[Any]:
    mark = {"tab": "\t", "space": " "}.get(delimiter or "", delimiter)
    parts = text.split(mark) if mark else [text]
    return [part.strip() for part in parts if part.strip()]


def _detect_delimiter(
    texts: Sequence[str], known: Sequence[str] | None, path: str, column: str
) -> str | None:
    """Return the only delimiter that occurs, or the only one that leaves nothing but known names."""
    occurring = [mark for mark in _DELIMITERS if any(mark in text for text in texts)]
    if known is not None:
        for candidate in (None, *occurring):
            parts = {clean_name(part) for text in texts for part in _split(text, candidate)}
            if parts <= set(known):
                return candidate
    if len(occurring) < 2:
        return occurring[0] if occurring else None
    example = max(texts, key=lambda text: sum(mark in text for mark in occurring))
    raise DataError(
        f"More than one character may separate the labels: {' '.join(occurring)} (as in {example!r}). "
        "Set data.label_delimiter to the one that does; empty means one label a cell.",
        path=path,
        column=column,
    )


def _are_indices(rows: Rows, indexed: Sequence[str]) -> bool:
    """Whether every part is a whole number and no name is one."""
    parts = [part for row in rows for part in row or ()]
    return bool(parts) and all(map(_is_whole, parts)) and not any(map(_is_whole, indexed))


def _is_whole(part: Any) -> bool:
    if isinstance(part, str):
        return part.strip().isascii() and part.strip().isdigit()
    return isinstance(part, int) and not isinstance(part, bool)


def _from_indices(row: list[Any], indexed: Sequence[str], line: int, fail: Fail) -> list[Any]:
    indices = [int(part) for part in row]
    if len(set(indices)) < len(indices):
        raise fail(
            line,
            f"The same index occurs twice in {row}. If this is a vector of 0 and 1, write one column "
            "per label instead; if these are indices, remove the repeated one.",
        )
    for index in indices:
        if not 0 <= index < len(indexed):
            raise fail(
                line,
                f"The index {index} is not one of the {len(indexed)} label names (0 is the first).",
            )
    return [indexed[index] for index in indices]


def _checked(row: list[Any], known: Sequence[str] | None, line: int, fail: Fail) -> list[str]:
    for name in row:
        if not isinstance(name, str):
            raise fail(
                line,
                f"The label {name!r} is not a text. Numbers are understood as 0-based indices once "
                "data.label_names=FILE names them, one a line.",
            )
        if not name.strip():
            raise fail(line, "A label name in the list is empty.")
    names = [clean_name(name) for name in row]
    for name in names:
        if known is not None and name not in known:
            raise fail(
                line,
                f"The label '{name}' is not among the known labels: {', '.join(known)}. Correct it, "
                "or train with a file that has it.",
            )
    return names
