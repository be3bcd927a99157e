"""The stored cells of one sheet of a workbook, as texts; nothing is made up for cells that are not there.

Excel stores only cells that were touched, and a sheet reaches as far as the last of them: memory and time
follow what is stored, not how far away it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any
from xml.etree.ElementTree import Element

__all__ = ["SheetFindings", "SheetRow", "TextReader", "cell_name", "stored_rows"]

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ROW, _CELL, _VALUE, _FORMULA, _INLINE = (f"{_SPACE}{tag}" for tag in ("row", "c", "v", "f", "is"))
_SHEET, _MERGED = f"{_SPACE}worksheet", f"{_SPACE}mergeCell"
_DIGITS = "0123456789"
_MAX_GAP = 16

SheetRow = tuple[int, "Sequence[int] | None", list[str]]
"""Row number, the column numbers of its texts (`None` = 1, 2, 3 ...), and the texts."""


@dataclass
class SheetFindings:
    """What the cells of a sheet say beside their values.

    Attributes
    ----------
    faults
        For each column with a cell that has no value to read: the row of the first one, and what it
        holds.
    dates
        For each column with dates, the row of the first one.
    zero_formulas, other_formulas
        For each column with formulas whose stored value is 0, and with other stored values, the row
        of the first one.
    merged
        How many ranges are merged.
    first_merged
        The first of them, such as `A2:A4`.
    """

    faults: dict[int, tuple[int, str]] = field(default_factory=dict)
    dates: dict[int, int] = field(default_factory=dict)
    zero_formulas: dict[int, int] = field(default_factory=dict)
    other_formulas: dict[int, int] = field(default_factory=dict)
    merged: int = 0
    first_merged: str = ""


@dataclass(frozen=True)
class TextReader:
    """Turns cells into texts; what they say beside is added to `found`.

    Attributes
    ----------
    strings
        The texts that the cells of the workbook share.
    dates
        Styles that show a number as a date.
    as_date
        Reads a number of such a style.
    as_iso_date
        Reads a date that is written out.
    inline_text
        Reads a text that is stored in the cell itself.
    column_number
        Reads the letters of a column.
    """

    strings: Sequence[str]
    dates: Mapping[int, Any] | set[int]
    as_date: Callable[[float, int], Any]
    as_iso_date: Callable[[str], Any]
    inline_text: Callable[[Element], str]
    column_number: Callable[[str], int]
    found: SheetFindings = field(default_factory=SheetFindings)
    _numbers: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def column(self, reference: str) -> int:
        """Return the column number in a reference such as `C7`."""
        letters = reference.rstrip(_DIGITS)
        number = self._numbers.get(letters)
        if number is None:
            number = self._numbers[letters] = self.column_number(letters)
        return number

    def text(self, cell: Element, line: int, column: int) -> str:
        """Return a cell as text: 1.0, which is how Excel stores 1, as `1`; dates as ISO 8601."""
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find(_INLINE)
            return "" if inline is None else self.inline_text(inline)
        value = cell.findtext(_VALUE)
        if value and kind == "s":
            return self.strings[int(value)]
        if len(cell) > 1 or not value:
            self._note_formula(cell, kind, value, line, column)
        if not value or kind == "str":
            return value or ""
        if kind == "n":
            style = cell.get("s")
            if style is not None and int(style) in self.dates:
                return self._dated(value, int(style), line, column)
            number = _number(value)
            is_whole = isinstance(number, int) or number.is_integer()
            return str(int(number)) if is_whole else str(number)
        return self._rare(kind, value, line, column)

    def _note_formula(
        self, cell: Element, kind: str, value: str | None, line: int, column: int
    ) -> None:
        if cell.find(_FORMULA) is None:
            return
        if value:
            kinds = self.found.zero_formulas if value == "0" else self.found.other_formulas
            kinds.setdefault(column, line)
        elif value is None or kind != "str":  # an empty text as the result is stored as one
            self.found.faults.setdefault(column, (line, "a formula without a stored value"))

    def _rare(self, kind: str, value: str, line: int, column: int) -> str:
        if kind == "b":
            return str(bool(int(value))).lower()
        if kind == "d":
            return self._date(self.as_iso_date(value), line, column)
        if kind == "e":
            self.found.faults.setdefault(column, (line, f"the error {value}"))
        return value

    def _dated(self, value: str, style: int, line: int, column: int) -> str:
        try:
            return self._date(self.as_date(_number(value), style), line, column)
        except (OverflowError, ValueError):
            what = f"the number {value} shown as a date, which no date has"
            self.found.faults.setdefault(column, (line, what))
            return "#VALUE!"

    def _date(self, date: Any, line: int, column: int) -> str:
        self.found.dates.setdefault(column, line)
        if not hasattr(date, "isoformat"):  # a duration
            return str(date)
        return str(date.isoformat()).removesuffix("T00:00:00")


def stored_rows(sheet: IO[bytes], reader: TextReader) -> Iterator[SheetRow]:
    """Yield the rows of a sheet that hold a text; raise `ValueError` where the sheet is damaged.

    A row is as long as its last cell with content, and lists column numbers where cells are far apart.
    """
    from openpyxl.xml.functions import iterparse

    line, root = 0, None
    for _, element in iterparse(sheet):
        root = element
        if element.tag == _ROW:
            number = element.get("r")
            before, line = line, line + 1 if number is None else _row_number(number)
            if line <= before:
                raise ValueError(f"row {line} is stored behind row {before}")
            row = _row(element, line, reader)
            element.clear()
            if row is not None:
                yield row
        elif element.tag == _MERGED:
            reader.found.first_merged = reader.found.first_merged or element.get("ref", "")
            reader.found.merged += 1
    if root is None or root.tag != _SHEET:
        raise ValueError(
            "its sheet is not in the usual form of Excel; save it as an ordinary workbook (.xlsx), not as "
            "Strict Open XML"
        )


def _number(value: str) -> int | float:
    return float(value) if "." in value or "E" in value or "e" in value else int(value)


def _row_number(number: str) -> int:
    try:
        return int(number)
    except ValueError:
        value = float(number)
        if not value.is_integer():
            raise
        return int(value)


def _row(element: Element, line: int, reader: TextReader) -> SheetRow | None:
    texts: dict[int, str] = {}
    column, is_ordered = 0, True
    for cell in element:
        if cell.tag != _CELL:
            continue
        reference = cell.get("r")
        before, column = column, column + 1 if reference is None else reader.column(reference)
        is_ordered &= before < column
        if len(cell) and (text := reader.text(cell, line, column)):
            texts[column] = text
    if not texts:
        return None
    width = max(texts)
    if width <= 2 * len(texts) + _MAX_GAP:
        if width == len(texts) and is_ordered:
            return line, None, list(texts.values())
        return line, None, [texts.get(place, "") for place in range(1, width + 1)]
    places = sorted(texts)
    return line, places, [texts[place] for place in places]


def cell_name(line: int, column: int) -> str:
    """Return the name of a cell as Excel shows it, such as `C7`."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{line}"
