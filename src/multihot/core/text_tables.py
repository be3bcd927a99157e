"""Numbers, names and tables as plain text that fits a terminal.

Widths are in columns of a terminal: an East Asian wide character takes two, a combining mark none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multihot.errors import escaped

__all__ = [
    "DEFAULT_WIDTH",
    "aligned",
    "counted",
    "cut",
    "display_width",
    "fitted",
    "format_number",
    "format_percent",
    "listed",
    "printable",
    "short_names",
    "shortened",
    "shown_labels",
    "wrapped",
]

DEFAULT_WIDTH = 80
"""Columns of a table where nobody asks for another width."""

_MAX_CHARACTERS = 80
_MAX_NAMES = 30
_CHARACTERS_A_NAME = 20
_FEWEST_NAMES = 3
_MOST, _LEAST = 40, 20  # labels in a table
_HEAD_WIDTHS = (24, 16, 12, 9)  # columns of a heading where a table is too wide
_BEFORE_DIFFERENCE = 5  # letters before the one in which names differ
_GOOD_FIRST, _MIN_FIRST = 24, 14  # columns of the first column: before and after headings are cut


def format_number(value: float | None, decimals: int = 3, missing: str = "-") -> str:
    """Return a number with so many decimals, and `missing` for `None`."""
    return missing if value is None else f"{value:.{decimals}f}"


def format_percent(fraction: float | None, decimals: int = 1, missing: str = "-") -> str:
    """Return a fraction in percent with so many decimals, and `missing` for `None`."""
    return missing if fraction is None else f"{100 * fraction:.{decimals}f} %"


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return a text with what a terminal would obey or hide escaped, such as `\x1b` and `\u202e`.

    Line breaks and tabs are escaped, too, but with `lines`.
    """
    return escaped(text, lines=lines)


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(name: str, width: int) -> str:
    """Return a name as it stands in a table: printable, cut in its middle to so many columns."""
    name = printable(name)
    if display_width(name) <= width:
        return name
    room = max(2, width - 3)
    head = _prefix(name, room - room // 2)
    tail = _prefix(name[::-1], room - display_width(head))[::-1]
    return f"{head}...{tail}"


def _prefix(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:position]
    return text


def aligned(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int = DEFAULT_WIDTH,
    groups: Sequence[int] | None = None,
    keep_first: bool = False,
) -> list[str]:
    """Return the lines of a table: the first column left-aligned, the others right-aligned.

    Where it is wider than `width`, headings and the first column are cut in the middle, and columns
    that still have no room follow below, with the first column again.

    Parameters
    ----------
    heads, rows
        The cells as text.
    width
        Columns of the terminal.
    groups
        Sizes of groups of columns that stay side by side, the first column not counted; by default
        each column is one.
    keep_first
        Whether the first column is never cut.
    """
    columns = [list(map(printable, column)) for column in zip(heads, *rows, strict=True)]
    first, others = columns[0], columns[1:]
    natural = room = max(map(display_width, first))
    if room + _total(others) > width:
        others = _with_short_heads(others, width - (room if keep_first else min(room, _GOOD_FIRST)))
        room = min(room, max(_MIN_FIRST, width - _total(others)))
        if keep_first or room + _total(others) > width:  # there is a second block in any case
            room = min(natural, width if keep_first else _GOOD_FIRST)
        first = [first[0], *_told_apart(first[1:], room)]
    lines: list[str] = []
    for block in _blocks(others, groups or [1] * len(others), width - room):
        widths = [max(map(display_width, column)) for column in block]
        lines += [""] if lines else []
        for name, *cells in zip(first, *block, strict=True):
            shown = [
                _padded(cell, width, left=False) for cell, width in zip(cells, widths, strict=True)
            ]
            lines.append("  ".join([_padded(name, room, left=True), *shown]).rstrip())
    return lines


def _told_apart(names: list[str], width: int) -> list[str]:
    """Cut names; those that would look the same begin where they differ."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(fitted(name, width), set()).add(name)
    shown = []
    for name in names:
        alike = groups[fitted(name, width)]
        if len(alike) == 1:
            shown.append(fitted(name, width))
            continue
        pairs = zip(min(alike), max(alike), strict=False)
        common = next((at for at, (one, other) in enumerate(pairs) if one != other), 0)
        begin = max(0, common - _BEFORE_DIFFERENCE)
        rest = name[begin:]
        is_cut = display_width(rest) > width - 3
        kept = _prefix(rest, width - 6) if is_cut else rest
        shown.append(f"...{kept}{'...' if is_cut else ''}")
    return shown


def _with_short_heads(columns: list[list[str]], width: int) -> list[list[str]]:
    """Cut the headings, such as names of files, as far as is needed and leaves them apart."""
    cut_columns = columns
    for most in _HEAD_WIDTHS:
        shorter = []
        for head, *cells in columns:
            wide = max([most, *map(display_width, cells)])
            shorter.append([fitted(head, wide), *cells])
        if len({column[0] for column in shorter}) < len({column[0] for column in columns}):
            break
        cut_columns = shorter
        if _total(shorter) <= width:
            break
    return cut_columns


def _total(columns: Iterable[Sequence[str]]) -> int:
    """Return the width of columns with the space before each."""
    return sum(2 + max(map(display_width, column)) for column in columns)


def _blocks(
    columns: Sequence[list[str]], groups: Sequence[int], room: int
) -> list[list[list[str]]]:
    """Return the columns in blocks that fit beside the first column; groups stay together."""
    blocks: list[list[list[str]]] = [[]]
    start = 0
    for size in groups:
        group = list(columns[start : start + size])
        start += size
        if blocks[-1] and _total([*blocks[-1], *group]) > room:
            blocks.append([])
        blocks[-1] += group
    return blocks


def _padded(cell: str, width: int, *, left: bool) -> str:
    space = " " * (width - display_width(cell))
    return f"{cell}{space}" if left else f"{space}{cell}"


def wrapped(text: str, width: int) -> str:
    """Return a text whose lines are broken at spaces to so many columns, as they are indented.

    A word that is longer than a line, such as a path to be copied, stays whole.
    """
    return "\n".join(
        part
        for line in text.split("\n")
        for part in ([line] if display_width(line) <= width else _broken(line, width))
    )


def _broken(line: str, width: int) -> list[str]:
    indent = re.match(r" *(?:- )?", line)
    space = " " * min(len(indent.group()) if indent else 0, width // 2)
    lines, current = [], ""
    for word in re.findall(r" *[^ ]+", line):
        rest = word
        if current.strip() and display_width(current) + display_width(rest) > width:
            lines.append(current)
            current, rest = space, rest.lstrip(" ")
        current += rest
    return [*lines, current]


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 label`, `2 labels`."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def shown_labels(
    counts: Mapping[str, float], *, every: bool = False
) -> tuple[list[str], list[str]]:
    """Return the labels that a table shows, and a line about the others where there are any.

    Up to 60 labels, or with `every`, all are shown in their order; of more, those with the 40 highest
    counts and the 20 lowest ones, by falling count.
    """
    names = list(counts)
    if every or len(names) <= _MOST + _LEAST:
        return names, []
    names.sort(key=lambda name: -counts[name])
    line = (
        f"Labels: the first {_MOST} and the last {_LEAST} of {len(names)}; --all-labels or --json "
        "shows all."
    )
    return [*names[:_MOST], *names[-_LEAST:]], [line]


def shortened(text: str, most: int) -> str:
    """Return a text, of a longer one the first characters and a mark."""
    return text if len(text) <= most else f"{text[:most]} ..."


def cut(value: Any) -> str:
    """Return the `repr` of a value from a file as messages show it: its first 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists without end
        return "a value that is too long to show"
    return shortened(text, _MAX_CHARACTERS)


def cut_digest(value: Any) -> str:
    """Return a value as `cut` does, of a SHA-256 only the first 12 digits."""
    is_digest = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"{value[:12]}..." if is_digest else cut(value)


def listed(names: Sequence[Any], most: int = _MAX_NAMES) -> str:
    """Return names as messages list them: the first ones, cut, and how many are left.

    Long names are fewer: about 20 characters each of `most`, but at least three.
    """
    shown: list[str] = []
    room = _CHARACTERS_A_NAME * most
    for name in (printable(str(name)) for name in names[:most]):
        room -= len(name[:_MAX_CHARACTERS]) + 2
        if room < 0 and len(shown) >= _FEWEST_NAMES:
            break
        shown.append(shortened(name, _MAX_CHARACTERS))
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def short_names(sources: Sequence[str]) -> list[str]:
    """Return names for table columns: file names without their common beginning and end.

    Only whole words are removed: `2018-train.txt` and `2018-test.txt` become `train` and `test`.
    Files of equal names keep their paths.
    """
    stems = [Path(source).stem for source in sources]
    if len(set(stems)) < len(stems):
        return list(sources)
    if len(stems) == 1:
        return [Path(sources[0]).name]
    without_begin = _without_common_begin(stems)
    reversed_names = [name[::-1] for name in without_begin]
    return [name[::-1] for name in _without_common_begin(reversed_names)]


def _without_common_begin(names: list[str]) -> list[str]:
    length = len(min(names, key=len))
    while length and (len({name[:length] for name in names}) > 1 or names[0][length - 1].isalnum()):
        length -= 1
    cut = [name[length:] for name in names]
    return cut if all(cut) else names
