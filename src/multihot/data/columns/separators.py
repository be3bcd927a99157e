"""What separates the labels of a cell: detected where it is certain, asked for where it is not.

A character counts as a separator by itself only if names hardly ever contain it. For the others, the
cells are evidence: parts that are other cells speak for a separator, parts that never stand alone
against one.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = [
    "DELIMITERS",
    "delimiter_option",
    "doubtful_comma",
    "doubtful_whole_cells",
    "each_separates",
    "inseparable_parts",
    "looks_like_vectors",
    "recurring_parts",
    "shown_delimiter",
    "split_cell",
]

DELIMITERS = ("|", ";", ",", "\n", "，", "、", "；", "،", "؛")
"""What may separate labels when that is detected. White space never does: names may contain it."""

_IN_NAMES = (
    *(
        "\t",
        "<br>",
        "<br/>",
        "<br />",
        "->",
        "→",
        ">",
        "·",
        "•",
        "#",
        "/",
        "／",
        "｜",
        "+",
        "&",
        "~",
        "^",
    ),
    *("\\", "*", "@", " and ", " und ", " - ", " ", "\u00a0", "\u3000"),
)
"""What separates labels in some files, and stands in names in others; longer ones first."""

_JOINING = (":", "_", ".", "-", "=")
"""What hardly ever separates labels, but joins parts of one name that may be names themselves."""

_WORDS = {"tab": "\t", "space": " ", "newline": "\n"}
"""Separators that `data.label_delimiter` takes by name."""

_NAMES = {mark: name for name, mark in _WORDS.items()} | {"\u00a0": "space", "\u3000": "space"}
_FOR_SHELLS = frozenset(" <>&~\\*;|")
_COMMAS = (",", "，", "،")
_NUMBERS = re.compile(r"\d+(?:\s+\d+)*")
_MOST_COMPARED = 10_000  # cells
_BINARY = frozenset(("0", "1", "0.", "1.", "0.0", "1.0"))
_FEW_CELLS = 3
_MOST = 0.5
_NEARLY_ALL = 0.7


def split_cell(text: str, delimiter: str | None) -> list[str]:
    """Return the parts of a cell that are not empty; without a delimiter, the whole cell.

    Of several characters (see `each_separates`) each one separates.
    """
    mark = _WORDS.get(delimiter or "", delimiter)
    if mark == " ":
        return text.split()
    if mark is not None and each_separates(mark):
        for other in mark[1:]:
            text = text.replace(other, mark[0])
        mark = mark[0]
    parts = text.split(mark) if mark else [text]
    return [part.strip() for part in parts if part.strip()]


def each_separates(delimiter: str) -> bool:
    """Whether a delimiter is several different characters of which each separates, as in `，、；`."""
    return len(set(delimiter)) == len(delimiter) > 1 and set(delimiter) <= set(DELIMITERS)


def shown_delimiter(mark: str) -> str:
    """Return a separator as `data.label_delimiter` takes it."""
    return _NAMES.get(mark, mark)


def delimiter_option(mark: str) -> str:
    """Return the option that sets a separator, in quotes where a shell needs them."""
    option = f"data.label_delimiter={mark}"
    return f"'{option}'" if _FOR_SHELLS & set(mark) else option


def looks_like_vectors(cells: Sequence[str]) -> int:
    """Return the length of the vectors of 0 and 1 that all cells are, such as `0,1,0`; else 0."""
    length = 0
    for cell in cells:
        vector = re.split(r"[\s,;|]+", cell.strip("[]() "))
        if not _BINARY.issuperset(vector) or len(vector) == 1 or length not in (0, len(vector)):
            return 0
        length = len(vector)
    return length


def doubtful_whole_cells(cells: Sequence[str], levels: str | None = None) -> tuple[str, str] | None:
    """Return the separator that cells taken as one label each seem to have, and a cell with it.

    What separates the levels of a label (`levels`) is none.

    At least half of the parts of the cells with it are cells themselves; or some are, and nearly all
    recur in other cells; or a cell holds several URIs, or several numbers while all hold numbers.
    """
    wholes = set(cells)
    several_uris = next((cell for cell in cells if cell.count("://") > 1), None)
    if several_uris is not None:
        return " ", several_uris
    several_numbers = next((cell for cell in cells if " " in cell), None)
    if several_numbers is not None and all(map(_NUMBERS.fullmatch, cells)):
        return " ", several_numbers
    for mark in _marks(cells, levels):
        split = [(cell, split_cell(cell, mark)) for cell in cells if mark in cell]
        split = [(cell, parts) for cell, parts in split if len(parts) > 1]
        num_parts = sum(len(parts) for _, parts in split)
        alone = sum(part in wholes for _, parts in split for part in parts)
        if alone and (alone >= _MOST * num_parts or _recur(cells, mark)):
            return mark, next(c for c, parts in split if any(part in wholes for part in parts))
    return None


def recurring_parts(cells: Sequence[str], levels: str | None = None) -> tuple[str, str] | None:
    """Return the separator whose parts nearly all recur in other cells, and a cell with it.

    What separates the levels of a label (`levels`) is none.
    """
    for mark in _marks(cells, levels):
        if _recur(cells, mark):
            return mark, next(cell for cell in cells if len(split_cell(cell, mark)) > 1)
    wholes = set(cells)
    for mark in _apart(_JOINING, levels):
        split = [
            parts for parts in (split_cell(c, mark) for c in cells if mark in c) if len(parts) > 1
        ]
        alone = sum(part in wholes for parts in split for part in parts)
        if alone and alone >= _MOST * sum(map(len, split)):
            return mark, next(cell for cell in cells if len(split_cell(cell, mark)) > 1)
    return None


def _recur(cells: Sequence[str], mark: str) -> bool:
    """Whether nearly all parts of the cells that a separator cuts are parts of other cells, too."""
    split = [split_cell(cell, mark) for cell in cells]
    found_in = Counter(part for parts in split for part in set(parts))
    counts = [found_in[part] for parts in split if len(parts) > 1 for part in parts]
    return bool(counts) and sum(count > 1 for count in counts) >= _NEARLY_ALL * len(counts)


def doubtful_comma(cells: Iterable[str], delimiter: str) -> str | None:
    """Return a cell whose comma seems to belong to one name, as in `Dallas, TX`; else `None`.

    Every comma is followed by a space, and no part of a cell with one stands alone in another cell
    or at another position, although there are cells enough to show it.
    """
    if delimiter not in _COMMAS:
        return None
    position_of: dict[str, int] = {}  # of parts that stand beside others
    alone: set[str] = set()
    several: list[str] = []
    for cell in cells:
        parts = split_cell(cell, delimiter)
        if len(parts) == 1:
            if parts[0] in position_of:
                return None
            alone.add(parts[0])
            continue
        if cell.count(delimiter) != cell.count(f"{delimiter} "):
            return None
        several.append(cell)
        for position, part in enumerate(parts):
            if part in alone or position_of.setdefault(part, position) != position:
                return None
    if not several:
        return None
    return several[0] if len(alone) >= 2 or len(several) >= _FEW_CELLS else None


def inseparable_parts(cells: Iterable[str], delimiter: str) -> str | None:
    """Return two parts that always stand together, in that order, as in `Slow, but fine`; else `None`."""
    if delimiter not in _COMMAS:
        return None
    found: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for cell in itertools.islice(cells, _MOST_COMPARED):
        parts = split_cell(cell, delimiter)
        found.update(parts)
        pairs.update(itertools.pairwise(parts))
    for (first, second), count in pairs.items():
        if count > 1 and found[first] == found[second] == count:
            return f"{first}{delimiter} {second}"
    return None


def _marks(cells: Sequence[str], levels: str | None) -> list[str]:
    """Return which of the characters that also stand in names occur; in URIs they mean nothing."""
    marks = _IN_NAMES if not any("://" in cell for cell in cells) else (" ", "\t")
    return [mark for mark in _apart(marks, levels) if any(mark in cell for cell in cells)]


def _apart(marks: Sequence[str], levels: str | None) -> list[str]:
    """Return the marks that are no part of what separates levels, nor that of them."""
    own = (levels or "").strip()
    return [mark for mark in marks if not own or (mark not in own and own not in mark)]
