"""JSON from files that may come from anyone: strict, and bounded before it is parsed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.text_tables import cut, printable
from multihot.errors import MultihotError
from multihot.gate.folder_files import read_folder_file, shown_file

__all__ = ["MAX_DEPTH", "MAX_JSON_BYTES", "parse_json", "parse_json_object", "read_json_object"]

MAX_JSON_BYTES = 64 << 20
"""Bytes of a document, where the caller names no other bound."""
MAX_DEPTH = 64
"""Lists and objects inside each other."""

_MAX_CONTAINERS = 1_000_000  # lists and objects; an empty one takes 28 times its two bytes
_MAX_VALUES = 3_000_000  # a key with its value takes 250 bytes
_MAX_ESCAPES = 4_000_000  # each is looked at
_BLOCK = 1 << 20  # bytes that are looked at at once
_MAX_DIGITS = 40  # characters of a number; a float64 has at most 24
_MAX_MAGNITUDE = 2**63  # of integers
_MANY_DIGITS = b"0" * 19  # the least that an integer beyond 64 bits has
_DIGITS_AS_0 = bytes(ord("0") if chr(code).isdigit() else ord("-") for code in range(128)) * 2
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_OTHER_BYTES = bytes(code for code in range(256) if code not in b'[]{}"')
_STRUCTURE = np.zeros(256, np.int8)
_STRUCTURE[list(b"[{")], _STRUCTURE[list(b"]}")], _STRUCTURE[ord('"')] = 1, -1, 2


def read_json_object(
    folder: Path,
    name: str,
    *,
    error: type[MultihotError],
    most_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_DEPTH,
    large_integers: bool = False,
) -> dict[str, Any]:
    """Return the JSON object in the file `name` of `folder`; raise `error` for anything else.

    The file is read as `read_folder_file` does, and parsed as `parse_json` does.
    """
    content = read_folder_file(folder, name, most_bytes=most_bytes, error=error)
    return parse_json_object(
        content, folder / name, error=error, max_depth=max_depth, large_integers=large_integers
    )


def parse_json_object(
    content: bytes | memoryview,
    source: str | Path,
    *,
    error: type[MultihotError],
    max_depth: int = MAX_DEPTH,
    large_integers: bool = False,
    max_keys: int | None = None,
) -> dict[str, Any]:
    """Parse a JSON object as `parse_json` does; raise `error` for any other value."""
    parsed = parse_json(
        content,
        source,
        error=error,
        max_depth=max_depth,
        large_integers=large_integers,
        max_keys=max_keys,
    )
    if not isinstance(parsed, dict):
        raise error(f"{shown_file(source)} is no JSON object; it begins {cut(parsed)}.")
    return parsed


def parse_json(
    content: bytes | memoryview,
    source: str | Path,
    *,
    error: type[MultihotError],
    max_depth: int = MAX_DEPTH,
    large_integers: bool = False,
    max_values: int = _MAX_VALUES,
    max_keys: int | None = None,
) -> Any:
    """Parse strict JSON in UTF-8; raise `error` for what a writer of ours would never write.

    Refused are more than `max_depth` lists and objects inside each other, more than a million of them,
    more than four million escapes, numbers that are infinite, no number or longer than 40 characters,
    integers beyond 64 bits, keys that come twice in one object, and halves of surrogate pairs. No
    bound of the size is set here.

    Parameters
    ----------
    content
        The bytes of the document.
    source
        The file, for messages.
    error
        The class of what is raised.
    max_depth
        Lists and objects inside each other.
    large_integers
        Whether integers of up to 40 characters are accepted, as transformers writes 1e30.
    max_values
        Commas, of which there is one before each value but the first; those in texts count, too.
    max_keys
        Keys of all objects together; those in texts do not count. Counting them takes twice the bytes.
    """
    raw = bytes(content)
    try:
        for sign, most, what in ((b",", max_values, "values"), (b"\\", _MAX_ESCAPES, "escapes")):
            if raw.count(sign) > most:
                raise ValueError(f"it holds more than {most} {what}.")
        _check_nesting(raw, max_depth)
        _check_surrogates(raw)
        if max_keys is not None:
            _check_keys(raw, max_keys)
        return json.loads(
            raw.decode("utf-8"),
            parse_int=_integers(raw, large_integers),
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as reason:
        raise error(
            f"{shown_file(source)} is not valid JSON: {printable(_short(reason))}"
        ) from None


def _check_nesting(raw: bytes, max_depth: int) -> None:
    """Raise `ValueError` for deep or very many lists and objects, without parsing them."""
    num_open = raw.count(b"[") + raw.count(b"{")
    if num_open <= max_depth:
        return
    if b"\\" in raw:
        raw = _ESCAPED.sub(b"", raw)
    num_quotes = num_containers = depth = 0
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK].translate(None, _OTHER_BYTES)
        codes = _STRUCTURE[np.frombuffer(block, np.uint8)]
        is_quote = codes == 2
        quotes = num_quotes + np.cumsum(is_quote, dtype=np.int64)
        steps = codes[(quotes % 2 == 0) & ~is_quote]
        depths = depth + np.cumsum(steps, dtype=np.int64)
        num_containers += int((steps > 0).sum())
        if num_containers > _MAX_CONTAINERS:
            raise ValueError(f"it holds more than {_MAX_CONTAINERS} lists and objects.")
        if depths.max(initial=0) > max_depth:
            raise ValueError(f"more than {max_depth} lists and objects are inside each other.")
        num_quotes, depth = int(num_quotes + is_quote.sum()), int(depth + steps.sum())


def _check_keys(raw: bytes, max_keys: int) -> None:
    """Raise `ValueError` for very many keys, without parsing them."""
    if raw.count(b":") <= max_keys:
        return
    codes = np.frombuffer(_ESCAPED.sub(b"", raw) if b"\\" in raw else raw, np.uint8)
    is_text = np.logical_xor.accumulate(codes == ord('"'))
    num_keys = int(np.count_nonzero((codes == ord(":")) & ~is_text))
    if num_keys > max_keys:
        raise ValueError(f"it holds {num_keys} keys, and at most {max_keys} are of use.")


def _check_surrogates(raw: bytes) -> None:
    if _SURROGATE.search(raw) is None:
        return
    for match in _ESCAPES.finditer(raw):
        if match["half"] is not None:
            raise ValueError(f"'\\{match['half'].decode()}' is half a character.")


def _integers(raw: bytes, large: bool) -> Callable[[str], int]:
    """Return what reads integers: `int` itself where none can be too large, which is much faster."""
    if _MANY_DIGITS not in raw.translate(_DIGITS_AS_0):
        return int
    return _large_integer if large else _integer


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS or not -_MAX_MAGNITUDE <= (number := int(text)) < _MAX_MAGNITUDE:
        raise ValueError(f"the number {_start(text)} is too large.")
    return number


def _large_integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number {_start(text)} is too large.")
    return int(text)


def _number(text: str) -> float:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number {_start(text)} is longer than {_MAX_DIGITS} characters.")
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {_start(text)} is too large.")
    return number


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"the key {cut(twice)} comes twice in one object.")
    return found


def _start(text: str) -> str:
    return text if len(text) <= _MAX_DIGITS else f"{text[:_MAX_DIGITS]}..."


def _short(reason: BaseException) -> str:
    if isinstance(reason, UnicodeDecodeError):
        return f"byte {reason.start} is not UTF-8."
    if isinstance(reason, RecursionError):
        return "lists or objects are nested too deeply."
    text = str(reason)
    return text if text.endswith(".") else f"{text}."
