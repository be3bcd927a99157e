"""Character encodings: detect them, open text with them, and name the byte that does not fit."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from multihot.errors import DataError, OptionError

__all__ = [
    "Encoding",
    "declared_encoding",
    "detect_encoding",
    "file_encoding",
    "read_lines",
    "stream_lines",
]

_CHUNK_BYTES = 1 << 18
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the one of UTF-16 LE
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_IN_CP1252 = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
_ADVICE = (
    "Set data.encoding to the encoding that the file was saved with (such as cp1252, latin-1, "
    "gb18030, big5 or shift_jis), or save the file again as UTF-8."
)


@dataclass(frozen=True)
class Encoding:
    """The encoding of one file.

    Attributes
    ----------
    name
        A Python codec that removes the byte order mark, if there is one.
    note
        What to tell the user; empty for plain UTF-8 and for an encoding that the user declared.
    """

    name: str
    note: str = ""


def declared_encoding(name: str) -> str:
    """Return the codec for an encoding that the user named; raise `OptionError` when it is none."""
    try:
        codec = codecs.lookup(name).name
        "".encode(codec)
    except (LookupError, ValueError):
        raise OptionError(
            f"data.encoding={name} is not a text encoding. Use a name such as utf-8, utf-16, cp1252 "
            "or gb18030."
        ) from None
    return "utf-8-sig" if codec == "utf-8" else codec


def file_encoding(path: Path, declared: str | None = None) -> Encoding:
    """Return the declared encoding of a file, or the detected one.

    Raises `OptionError` when the declared encoding does not exist, `DataError` when none fits.
    """
    return detect_encoding(path) if declared is None else Encoding(declared_encoding(declared))


def detect_encoding(path: Path) -> Encoding:
    """Detect the encoding of a whole file, read in chunks.

    The rule, in this order: a byte order mark; UTF-16 without one, when nearly all zero bytes of
    the beginning stand at even or at odd places; valid UTF-8; GB18030, when it is valid, holds at
    least four Han characters, and four fifths of its characters beyond ASCII are common Han
    characters (the first level of GB 2312) or Chinese punctuation; cp1252, when it defines every
    byte. Otherwise `DataError`.
    """
    with path.open("rb") as handle:
        head = handle.read(1 << 16)
    for mark, name in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            label = "UTF-8" if name == "utf-8-sig" else name.upper()
            return Encoding(name, f"Encoding: {label}, from the byte order mark.")
    wide = _utf16_without_mark(head)
    if wide is not None and _undecodable(path, wide) is None:
        return Encoding(wide, f"Encoding: {wide.upper()}, from the places of the zero bytes.")
    place = _undecodable(path, "utf-8")
    if place is None:
        return Encoding("utf-8")
    if _is_chinese(path):
        return Encoding(
            "gb18030",
            "Encoding: not UTF-8; taken as GB18030 (Chinese). If texts look wrong, set data.encoding.",
        )
    if not any(byte in chunk for chunk in _chunks(path) for byte in _NOT_IN_CP1252):
        return Encoding(
            "cp1252",
            "Encoding: not UTF-8; taken as cp1252 (Western). If texts look wrong, set data.encoding.",
        )
    raise _undecodable_error(path, "UTF-8", place, also=" Neither GB18030 nor cp1252 fits.")


def read_lines(path: Path, encoding: str) -> Iterator[str]:
    r"""Yield the lines of a file with their line ends (`\n`, `\r\n` or `\r`).

    Raises
    ------
    DataError
        Bytes do not fit the encoding (with offset, line and advice), or a line holds a NUL.
    """
    try:
        with path.open(encoding=encoding, newline="") as handle:
            for number, line in enumerate(handle, start=1):
                yield _without_nul(line, number, path)
    except UnicodeError as error:
        place = _undecodable(path, encoding)
        if place is None:  # UTF-16 without its mark
            raise DataError(
                f"Cannot be read as {encoding}: {error}. {_ADVICE}", path=path
            ) from None
        raise _undecodable_error(path, encoding, place) from None


def stream_lines(handle: BinaryIO, encoding: str, source: str) -> Iterator[str]:
    """Yield the lines of a byte stream that can be read only once, as soon as each is there.

    Raises `DataError` as `read_lines` does, without the offset.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    rest, number = "", 0
    while True:
        chunk = handle.readline()
        try:
            rest += decoder.decode(chunk, final=not chunk)
        except UnicodeError:
            raise DataError(
                f"These bytes do not fit the encoding {encoding}. {_ADVICE}",
                path=source,
                line=number + 1,
            ) from None
        *lines, rest = rest.split("\n")
        for line in lines:
            number += 1
            yield _without_nul(line + "\n", number, source)
        if not chunk:
            break
    if rest:
        yield _without_nul(rest, number + 1, source)


def _without_nul(line: str, number: int, source: str | Path) -> str:
    if "\0" in line:
        raise DataError(
            f"There is a NUL character at position {line.index(chr(0)) + 1} of the line: this is "
            f"not plain text, or the encoding is another one. {_ADVICE}",
            path=source,
            line=number,
        )
    return line


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            yield chunk


def _utf16_without_mark(head: bytes) -> str | None:
    """Return the UTF-16 variant whose zero bytes would stand where they do; `None` without any."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) < max(2, len(head) // 100) or min(even, odd) * 20 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _undecodable(path: Path, encoding: str) -> tuple[int, int, int] | None:
    """Return offset, line and value of the first byte that does not fit; `None` when all fit."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read, line, after_return = 0, 1, False
    try:
        for chunk in _chunks(path):
            read += len(chunk)
            text = decoder.decode(chunk)
            line += _line_ends(text, after_return)
            after_return = text.endswith("\r") if text else after_return
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += _line_ends(error.object[: error.start].decode(encoding, "replace"), after_return)
        return read - len(error.object) + error.start, line, error.object[error.start]
    except UnicodeError:
        return None
    return None


def _line_ends(text: str, after_return: bool) -> int:
    r"""Count line ends; a `\n` at the beginning belongs to a `\r` that was counted before."""
    num_both = text.count("\r\n") + (after_return and text.startswith("\n"))
    return text.count("\n") + text.count("\r") - num_both


def _undecodable_error(
    path: Path, encoding: str, place: tuple[int, int, int], also: str = ""
) -> DataError:
    offset, line, byte = place
    return DataError(
        f"The byte 0x{byte:02X} at offset {offset} does not fit the encoding {encoding}.{also} {_ADVICE}",
        path=path,
        line=line,
    )


@cache
def _common_chinese() -> frozenset[str]:
    """Return GB 2312's first-level Han characters (rows 16-55) and its punctuation (1 and 3)."""
    rows = [0xA1, 0xA3, *range(0xB0, 0xD8)]
    cells = (bytes([row, cell]) for row in rows for cell in range(0xA1, 0xFF))
    return frozenset("".join(cell.decode("gb2312", "ignore") for cell in cells))


def _is_chinese(path: Path) -> bool:
    """Whether the file is valid GB18030 and mostly common Chinese."""
    decoder = codecs.getincrementaldecoder("gb18030")()
    counts: Counter[str] = Counter()
    try:
        for chunk in _chunks(path):
            counts.update(decoder.decode(chunk))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    beyond_ascii = {character: count for character, count in counts.items() if character > "\x7f"}
    common = _common_chinese()
    num_common = sum(count for character, count in beyond_ascii.items() if character in common)
    num_han = sum(
        count for character, count in beyond_ascii.items() if "\u4e00" <= character <= "\u9fff"
    )
    return num_han >= 4 and num_common >= 0.8 * sum(beyond_ascii.values())
