"""Label names in the cells of one column: delimited texts, lists, or indices into a file of names."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from multihot.core.labels import normalized_name
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = [
    "MAX_DISTINCT_BYTES",
    "NameCell",
    "NameCells",
    "NameForm",
    "cell_key",
    "find_name_form",
    "read_label_names",
]


def read_label_names(path: str | Path) -> tuple[str, ...]:
    """Read a file with one label name a line; the order counts, so blank lines are errors."""
    file = Path(path)
    if not file.is_file():
        raise DataError("There is no such file of label names (data.label_names).", path=path)
    names = [normalized_name(line) for line in read_lines(file, file_encoding(file).name)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError("The file of label names is empty: expected one name a line.", path=path)
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError("There is a blank line between label names.", path=path, line=number)
        first = names.index(name) + 1
        if first < number:
            raise DataError(
                f"The label name '{name}' occurs twice; the first is in line {first}. Remove one.",
                path=path,
                line=number,
            )
    return tuple(names)


_DELIMITERS = ("|", ";", ",", "，", "、", "；")
"""What may separate labels when that is detected. White space never does: names may contain it."""

MAX_DISTINCT_BYTES = 1 << 24
"""How much of the distinct cells of a column is held while a file is checked, unless said otherwise."""

_CELL_BYTES = 200  # what a cell takes beside its characters

Fail = Callable[[int, str], DataError]

NameCell = tuple[int, Any, int]
"""The line that a cell first occurs in, the cell, and how often it occurs."""


class NameCells:
    """The cells of a column that may hold label names.

    Holds what all cells have in common, however many there are, and the distinct cells in order of
    appearance, as long as they fit.

    Attributes
    ----------
    has_list
        A cell is a list.
    has_content
        A cell is neither empty nor null.
    wrong_cell
        Line and cell of the first cell that is neither a text nor a list.
    example
        The first of the texts with the most kinds of delimiters, and their number.
    """

    def __init__(
        self, known: Sequence[str] | None = None, *, max_bytes: int = MAX_DISTINCT_BYTES
    ) -> None:
        self.has_list = self.has_content = False
        self.wrong_cell: tuple[int, Any] | None = None
        self.example: tuple[int, str] = (0, "")
        self._has_text, self._in_brackets = False, True
        self._known = set(known or ())
        self._delimiters: set[str] = set()
        self._fitting: list[str | None] = [] if known is None else [None, *_DELIMITERS]
        self._counts: dict[Any, int] | None = {}
        self._first: list[tuple[int, Any]] = []
        self._room = max_bytes

    @property
    def looks_like_lists(self) -> bool:
        """Whether there are texts, and all of them are in square brackets."""
        return self._has_text and self._in_brackets

    @property
    def delimiters(self) -> list[str]:
        """The possible delimiters that occur."""
        return [mark for mark in _DELIMITERS if mark in self._delimiters]

    @property
    def fitting(self) -> list[str | None]:
        """The delimiters among them that leave nothing but known names; `None` = no delimiter."""
        return [mark for mark in self._fitting if mark is None or mark in self._delimiters]

    def update(self, lines: Sequence[int], cells: Sequence[Any]) -> None:
        """Add the cells of some rows."""
        counts = self._counts
        for line, cell in zip(lines, cells, strict=True):
            key = cell_key(cell)
            if counts is not None and key in counts:
                counts[key] += 1
                continue
            self._summarise(line, cell)
            if counts is not None:
                counts[key] = 1
                self._first.append((line, cell))
                self._room -= _CELL_BYTES + len(key if isinstance(key, str) else key[0])
                if self._room < 0:
                    counts = self._counts = None
                    self._first = []

    def distinct(self, again: Callable[[], Iterator[NameCell]] | None = None) -> Iterator[NameCell]:
        """Return the distinct cells, or, if they did not fit, all cells as `again` reads them."""
        if self._counts is None:
            assert again is not None
            return again()
        return (
            (line, cell, count)
            for (line, cell), count in zip(self._first, self._counts.values(), strict=True)
        )

    def _summarise(self, line: int, cell: Any) -> None:
        self.has_content = self.has_content or cell not in ("", None)
        if isinstance(cell, list):
            self.has_list = True
            return
        if self.wrong_cell is None and not _is_text(cell):
            self.wrong_cell = line, cell
        text = "" if cell is None else str(cell).strip()
        if not text:
            return
        self._has_text = True
        self._in_brackets = self._in_brackets and text[0] == "[" and text[-1] == "]"
        marks = [mark for mark in _DELIMITERS if mark in text]
        self._delimiters.update(marks)
        if len(marks) > self.example[0]:
            self.example = len(marks), text
        if self._fitting:
            self._fitting = [
                mark
                for mark in self._fitting
                if self._known.issuperset(map(normalized_name, _split(text, mark)))
            ]


def cell_key(cell: Any) -> Any:
    """Return what tells a cell from all others and can be a key of a dictionary."""
    return cell if type(cell) is str else (repr(cell),)


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

    def names(self, line: int, cell: Any) -> list[str] | None:
        """Return the label names of one cell.

        `None` is an unlabelled row; an empty text or list has no label.

        Raises
        ------
        DataError
            A cell, an index or a name is wrong.
        """
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
                reason = "is not a list, but other rows have a list of label names here."
                raise self.fail(line, f"{cell!r} {reason}")
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
    cells: NameCells,
    distinct: Callable[[], Iterator[NameCell]],
    *,
    path: str,
    column: str,
    delimiter: str | None = None,
    known: Sequence[str] | None = None,
    indexed: Sequence[str] | None = None,
) -> NameForm:
    """Decide how a column holds label names.

    Parameters
    ----------
    cells
        What is known of all cells of the column.
    distinct
        Goes through the distinct cells.
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
    if cells.has_list:
        form = NameForm(path, column, "lists", delimiter, known, None, "")
        note = f"Labels: lists in column '{column}'."
    elif delimiter is None and cells.looks_like_lists:
        form = NameForm(path, column, "written", None, known, None, "")
        note = f"Labels: lists written as text in column '{column}'."
    else:
        form = NameForm(path, column, "delimited", delimiter, known, None, "")
        if cells.wrong_cell is None and delimiter is None:
            form = replace(form, delimiter=_delimiter(cells, form))
        how = f"separated by '{form.delimiter}'" if form.delimiter else "one a row"
        note = f"Labels: names in column '{column}', {how}."
    if cells.wrong_cell is not None and not cells.has_list:
        form.parts(*cells.wrong_cell)  # raises
    if indexed is not None and _are_indices(form, distinct(), indexed):
        form = replace(form, indexed=indexed)
        note += f" They are 0-based indices into {len(indexed)} label names."
    return replace(form, note=note)


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


def _delimiter(cells: NameCells, form: NameForm) -> str | None:
    """Return the only delimiter that occurs, or the first that leaves nothing but known names."""
    if cells.fitting:
        return cells.fitting[0]
    if len(cells.delimiters) < 2:
        return cells.delimiters[0] if cells.delimiters else None
    raise DataError(
        f"More than one character may separate the labels: {' '.join(cells.delimiters)} (as in "
        f"{cells.example[1]!r}). Set data.label_delimiter to the one that does; empty means one label "
        "a cell.",
        path=form.path,
        column=form.column,
    )


def _are_indices(form: NameForm, distinct: Iterator[NameCell], indexed: Sequence[str]) -> bool:
    """Whether every part is a whole number and no name is one."""
    if any(map(_is_whole, indexed)):
        return False
    has_part = False
    for line, cell, _ in distinct:
        for part in form.parts(line, cell) or ():
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
    names = [normalized_name(name) for name in row]
    for name in names:
        if known is not None and name not in known:
            raise fail(
                line,
                f"The label '{name}' is not among the known labels: {', '.join(known)}. Correct it, "
                "or train with a file that has it.",
            )
    return names
