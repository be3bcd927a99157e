"""Lines of text files with some cells replaced; every other character stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multihot.data.readers.text_lines import LABEL_PREFIX

__all__ = [
    "NotWritableError",
    "edited_fasttext",
    "edited_json",
    "edited_libmultilabel",
    "edited_record",
]

_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


class NotWritableError(ValueError):
    """A file's format cannot hold a value; the message says why, without an end."""


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    quoted: bool


def edited_record(record: str, delimiter: str, new: Mapping[int, str], *, quoted: bool) -> str:
    """Return a record of delimited text with other cells at some places.

    Parameters
    ----------
    record
        Its lines, and what stands behind them up to the next record.
    new
        The cells by their 0-based place.
    quoted
        Whether cells may be quoted with `"`.
    """
    spans = _spans(record, delimiter, quoted=quoted)
    for place in sorted(new, reverse=True):
        span, cell = spans[place], new[place]
        needs_quotes = span.quoted or any(mark in cell for mark in (delimiter, '"', "\n", "\r"))
        if needs_quotes and quoted:
            cell = '"' + cell.replace('"', '""') + '"'
        elif needs_quotes:
            raise NotWritableError(
                f"{cell!r} holds what separates cells, and this file has no quotes"
            )
        record = record[: span.start] + cell + record[span.end :]
    return record


def _spans(record: str, delimiter: str, *, quoted: bool) -> list[_Span]:
    """Return where the cells of a record are, quotes included."""
    spans: list[_Span] = []
    place = 0
    while True:
        start, is_quoted = place, quoted and record[place : place + 1] == '"'
        if is_quoted:
            place += 1
            while (place := record.index('"', place)) >= 0 and record[place + 1 : place + 2] == '"':
                place += 2
            place += 1
        while place < len(record) and record[place] not in (delimiter, "\n", "\r"):
            place += 1
        spans.append(_Span(start, place, is_quoted))
        if place == len(record) or record[place] != delimiter:
            return spans
        place += 1


def edited_json(line: str, new: Mapping[tuple[str, ...], Any]) -> str:
    """Return a line with a JSON object in which other values stand behind some keys.

    `new` has them by their path: one key, or those of the objects around it. A last key that the object
    lacks is added at its end.
    """
    for path, value in new.items():
        start = _SPACE.match(line, 0)
        assert start is not None
        place = start.end()
        for key in path[:-1]:
            span = _value_span(line, place, key)
            if span is None or line[span[0]] != "{":
                raise NotWritableError(f"there is no object '{key}' in the line")
            place = span[0]
        line = _with_value(line, place, path[-1], value)
    return line


def _with_value(line: str, place: int, key: str, value: Any) -> str:
    written = json.dumps(value, ensure_ascii=line.isascii())
    span = _value_span(line, place, key)
    if span is not None:
        return line[: span[0]] + written + line[span[1] :]
    _, end = _decode(line, place)
    before = line[: end - 1].rstrip()
    comma = "" if before.endswith("{") else ", "
    pair = f"{json.dumps(key, ensure_ascii=line.isascii())}: {written}"
    return f"{before}{comma}{pair}{line[len(before) :]}"


def _value_span(line: str, place: int, key: str) -> tuple[int, int] | None:
    """Return where the value of a key is in the object that begins at a place."""
    place = _behind_space(line, place + 1)
    while line[place] != "}":
        name, place = _decode(line, place)
        start = _behind_space(line, _behind_space(line, place) + 1)
        _, end = _decode(line, start)
        if name == key:
            return start, end
        place = _behind_space(line, end)
        if line[place] == ",":
            place = _behind_space(line, place + 1)
    return None


def _behind_space(line: str, place: int) -> int:
    match = _SPACE.match(line, place)
    assert match is not None
    return match.end()


def edited_fasttext(line: str, labels: list[str]) -> str:
    """Return a line of fastText's form with other labels before its text."""
    body = line.lstrip()
    lead, rest = line[: len(line) - len(body)], body
    while rest.startswith(LABEL_PREFIX):
        word, *after = rest.split(maxsplit=1)
        end = rest[len(word) :] if not after else ""
        rest = after[0] if after else end
    if wrong := next((name for name in labels if len(name.split()) != 1), None):
        raise NotWritableError(f"the name '{wrong}' holds white space, which separates labels here")
    marks = "".join(f"{LABEL_PREFIX}{name} " for name in labels)
    return f"{lead}{marks}{rest}" if rest.strip() else f"{lead}{marks.rstrip()}{rest}"


def edited_libmultilabel(line: str, labels: list[str]) -> str:
    """Return a line of LibMultiLabel's form with other labels in its cell."""
    *before, _, text = line.split("\t")
    if wrong := next((name for name in labels if len(name.split()) != 1), None):
        raise NotWritableError(f"the name '{wrong}' holds white space, which separates labels here")
    return "\t".join([*before, " ".join(labels), text])
