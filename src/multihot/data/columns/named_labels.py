"""Label names in the cells of one column: delimited texts, lists, or indices into a file of names."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from multihot.data.readers.table import Row
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = ["NameForm", "clean_name", "find_name_form", "read_label_names"]


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


_DELIMITERS = ("|", ";", ",", "，", "、", "；")
"""What may separate labels when that is detected. White space never does: names may contain it."""

Fail = Callable[[int, str], DataError]


@dataclass(frozen=True)
class NameForm:
    """How one column holds label names, as decided from all of its cells.

    Attributes
    ----------
    path, column
        The file and the column, for messages.
    writing
        `lists`; `written` (lists written as text); or `delimited` (texts).
    delimiter
        What separates the labels of a cell; `None` when nothing does or the cells are lists.
    known
        The names that may occur; `None` = any.
    indexed
        The names that 0-based indices in the cells stand for; `None` = the cells hold names.
    note
        What was recognised.
    """

    path: str
    column: str
    writing: Literal["lists", "written", "delimited"]
    delimiter: str | None
    known: Sequence[str] | None
    indexed: Sequence[str] | None
    note: str

    def names(self, rows: Iterable[Row], place: int) -> list[list[str] | None]:
        """Return the label names of each row, whose cell is at `place`.

        `None` is an unlabelled row; an empty text or list has no label.

        Raises
        ------
        DataError
            A cell, an index or a name is wrong.
        """
        return [self._names(line, cells[place]) for line, cells in rows]

    def _names(self, line: int, cell: Any) -> list[str] | None:
        parts = self.parts(line, cell)
        if parts is None:
            return None
        if self.indexed is not None:
            parts = _from_indices(parts, self.indexed, line, self.fail)
        return _checked(parts, self.known, line, self.fail)

    def parts(self, line: int, cell: Any) -> list[Any] | None:
        """Return the names or indices of one cell, unchecked."""
        if self.writing == "lists":
            if not (cell is None or isinstance(cell, list)):
                said = "is not a list, but other rows have a list of label names here."
                raise self.fail(line, f"{cell!r} {said}")
            return cell
        if not _is_text(cell):
            raise self.fail(line, f"{cell!r} is not a label name, nor a list of label names.")
        if cell is None:
            return None
        text = str(cell).strip()
        if self.writing == "written":
            return _written_list(text, line, self.fail)
        return _split(text, self.delimiter)

    def fail(self, line: int, message: str) -> DataError:
        """Return the error for one line."""
        return DataError(message, path=self.path, line=line, column=self.column)


def find_name_form(
    rows: Iterable[Row],
    place: int,
    *,
    path: str,
    column: str,
    delimiter: str | None = None,
    known: Sequence[str] | None = None,
    indexed: Sequence[str] | None = None,
) -> NameForm:
    """Decide how the column at `place` holds label names.

    Parameters
    ----------
    rows
        All rows of the table; they are gone through up to three times.
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
        A cell is neither text nor list, or the delimiter is ambiguous.
    """
    sight = _look(rows, place, known)
    if sight.has_list:
        form = NameForm(path, column, "lists", delimiter, known, None, "")
        note = f"Labels: lists in column '{column}'."
    elif delimiter is None and sight.looks_like_lists:
        form = NameForm(path, column, "written", None, known, None, "")
        note = f"Labels: lists written as text in column '{column}'."
    else:
        form = NameForm(path, column, "delimited", delimiter, known, None, "")
        if sight.wrong_line is None and delimiter is None:
            form = replace(form, delimiter=_delimiter(sight, rows, place, form))
        how = f"separated by '{form.delimiter}'" if form.delimiter else "one a row"
        note = f"Labels: names in column '{column}', {how}."
    if sight.wrong_line is not None and not sight.has_list:
        form.parts(*sight.wrong_line)  # raises
    if indexed is not None and _are_indices(form, rows, place, indexed):
        form = replace(form, indexed=indexed)
        note += f" They are 0-based indices into {len(indexed)} label names."
    return replace(form, note=note)


@dataclass(frozen=True)
class _Sight:
    """What all cells of a column have in common.

    `fitting` are the delimiters that leave nothing but known names, `wrong_line` line and cell of
    the first cell that is neither a text nor a list.
    """

    has_list: bool
    looks_like_lists: bool = False
    wrong_line: tuple[int, Any] | None = None
    occurring: tuple[str, ...] = ()
    fitting: tuple[str | None, ...] = ()


def _look(rows: Iterable[Row], place: int, known: Sequence[str] | None) -> _Sight:
    has_text, in_brackets = False, True
    wrong_line: tuple[int, Any] | None = None
    occurring: set[str] = set()
    fitting: list[str | None] = [] if known is None else [None, *_DELIMITERS]
    names = set(known or ())
    for line, cells in rows:
        cell = cells[place]
        if isinstance(cell, list):
            return _Sight(has_list=True)
        if wrong_line is None and not _is_text(cell):
            wrong_line = line, cell
        text = "" if cell is None else str(cell).strip()
        if text:
            has_text = True
            in_brackets = in_brackets and text[0] == "[" and text[-1] == "]"
            occurring.update(mark for mark in _DELIMITERS if mark in text)
            fitting = [
                mark for mark in fitting if names.issuperset(map(clean_name, _split(text, mark)))
            ]
    return _Sight(
        has_list=False,
        looks_like_lists=has_text and in_brackets,
        wrong_line=wrong_line,
        occurring=tuple(mark for mark in _DELIMITERS if mark in occurring),
        fitting=tuple(mark for mark in fitting if mark is None or mark in occurring),
    )


def _is_text(cell: Any) -> bool:
    """Whether a cell can be read as text; a whole number may be an index."""
    return cell is None or (isinstance(cell, (str, int)) and not isinstance(cell, bool))


def _written_list(text: str, line: int, fail: Fail) -> list[Any]:
    if not text:
        return []
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


def _delimiter(sight: _Sight, rows: Iterable[Row], place: int, form: NameForm) -> str | None:
    """Return the only delimiter that occurs, or the only one that leaves nothing but known names."""
    if sight.fitting:
        return sight.fitting[0]
    if len(sight.occurring) < 2:
        return sight.occurring[0] if sight.occurring else None
    texts = ("" if cells[place] is None else str(cells[place]).strip() for _, cells in rows)
    example = max(texts, key=lambda text: sum(mark in text for mark in sight.occurring))
    raise DataError(
        f"More than one character may separate the labels: {' '.join(sight.occurring)} (as in "
        f"{example!r}). Set data.label_delimiter to the one that does; empty means one label a cell.",
        path=form.path,
        column=form.column,
    )


def _are_indices(form: NameForm, rows: Iterable[Row], place: int, indexed: Sequence[str]) -> bool:
    """Whether every part is a whole number and no name is one."""
    if any(map(_is_whole, indexed)):
        return False
    has_part = False
    for line, cells in rows:
        for part in form.parts(line, cells[place]) or ():
            if not _is_whole(part):
                return False
            has_part = True
    return has_part


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
