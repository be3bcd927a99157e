"""Label cells of other formats, which none of the ways to write label names fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.entities import html5

from multihot.data.columns.separators import DELIMITERS

__all__ = ["foreign_cell"]

_SPARSE = re.compile(r"\d+:\d+(?:\.\d+)?(?:\s+\d+:\d+(?:\.\d+)?)*")
_ELEMENT = re.compile(r"<([A-Za-z][\w-]*)(?:\s[^<>]*)?>.*</\1>", re.DOTALL)
_ITEM = re.compile(r"[-*•] \S.*")
_BITS = re.compile(r"[01]{2,}")
_NUMBER = r"(?:0|[1-9]\d?|100)(?:\.\d+)?"
_PAIR = re.compile(
    rf"(?P<name>[^:=]*[^\W\d_][^:=]*?)\s*"
    rf"(?:[:=]\s*(?:{_NUMBER}\s?%?|true|false|yes|no)|\(\s*(?:[01]?\.\d+|{_NUMBER}\s?%)\s*\)|\s{_NUMBER}\s?%)",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"[A-Za-z_][\w.]*\((?:[A-Za-z_]\w*=|<class |None, \{).*\)", re.DOTALL)
_PHP = re.compile(r"a:\d+:\{.*\}", re.DOTALL)
_CUT_LIST = re.compile(r"""[\[{]\s*['"].*[^\]}]|\(\s*['"][^)]*""", re.DOTALL)
_ENTITY = re.compile(r"&(#\d+|#[xX][0-9A-Fa-f]+|[A-Za-z]\w*);")
_QUOTED = re.compile(r"“[^”]*”|„[^“”]*[“”]|‘[^’]*’|«[^»]*»|`[^`]*`")
_PAIR_SIGN = re.compile("[:=(%]")
_LONGEST_PAIR = 200  # characters
_SEPARATORS = re.compile("[" + re.escape("".join(DELIMITERS)) + "]")


def foreign_cell(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return a stripped cell that is written in a format of its own, and what to do; else `None`."""
    first = cells[0] if cells else ""
    if cells and all(map(_SPARSE.fullmatch, cells)):
        return first, (
            "looks like a sparse vector of index:value. Write the indices alone, such as 1 5, with "
            "data.label_delimiter=space, and name the labels in data.label_names=FILE."
        )
    if cells and all(map(_BITS.fullmatch, cells)) and _are_even(cells):
        return first, (
            "looks like a vector of 0 and 1 without separators. Write it as 0,1,0 and name the "
            "labels in data.label_names=FILE."
        )
    element = next(filter(_ELEMENT.fullmatch, cells), None)
    if element is not None:
        return element, "is an element of HTML or XML. Write the names alone, separated by '|'."
    series = next((cell for cell in cells if cell.endswith("dtype: object")), None)
    if series is not None:
        return series, "is a printed Series of pandas. Write its tolist(), a list of names."
    if cells and all(all(map(_ITEM.fullmatch, cell.splitlines())) for cell in cells):
        return (
            first,
            "is a list of YAML or Markdown. Write the names without the marks before them.",
        )
    return _printed_otherwise(cells)


def _printed_otherwise(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return a cell that a program printed and that would be cut in pieces, and what to do."""
    for sign, pattern, advice in (
        ("{", _PHP, "is an array serialised by PHP. Write it with json_encode."),
        ("(", _OBJECT, "is a printed object. Write the names alone, as a JSON list."),
        (
            "",
            _CUT_LIST,
            "begins like a printed list and does not end like one. Write the whole list.",
        ),
    ):
        found = next(filter(pattern.fullmatch, (cell for cell in cells if sign in cell)), None)
        if found is not None:
            return found, advice
    entity = next((cell for cell in cells if "&" in cell and _has_entity(cell)), None)
    if entity is not None:
        return entity, "holds an HTML entity, whose ';' separates nothing. Write the character."
    if not any(map(_QUOTED.fullmatch, _parts(cells[:1]))) and not _PAIR_SIGN.search(
        "".join(cells[:1])
    ):
        return None
    parts = _parts(cells)
    if parts and all(map(_QUOTED.fullmatch, parts)):
        return cells[0], "holds names in quotes. Write the names without them, separated by '|'."
    if _are_pairs(parts):
        return cells[0], (
            "seems to give each name a value. Write one column of values for each label, or an object "
            'such as {"joy": 1, "fear": 0}. If these are names of several labels, name what '
            "separates them in data.label_delimiter."
        )
    return None


def _parts(cells: Sequence[str]) -> list[str]:
    return [part for cell in cells for part in map(str.strip, _SEPARATORS.split(cell)) if part]


def _are_pairs(parts: Sequence[str]) -> bool:
    """Whether all parts are a name and a value, and some name has several values or a 0."""
    values: dict[str, set[str]] = {}
    for part in parts:
        pair = _PAIR.fullmatch(part) if len(part) <= _LONGEST_PAIR else None
        if pair is None:
            return False
        name = pair["name"].strip().casefold()
        values.setdefault(name, set()).add(part[pair.end("name") :].strip(" :=()%").casefold())
    return any(len(found) > 1 or found <= {"0", "false", "no"} for found in values.values())


def _has_entity(cell: str) -> bool:
    return any(
        name.startswith("#") or f"{name};" in html5 for name in map(str, _ENTITY.findall(cell))
    )


def _are_even(cells: Sequence[str]) -> bool:
    """Whether all cells are of one length and one begins with 0, as no number does."""
    return len({len(cell) for cell in cells}) == 1 and any(cell[0] == "0" for cell in cells)
