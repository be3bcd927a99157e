"""Character encodings: detect them, open text with them, and name the byte that does not fit."""

from __future__ import annotations

import codecs
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from multihot.core.text_tables import cut
from multihot.data.readers.compression import open_unpacked, packing_of
from multihot.errors import DataError, OptionError

__all__ = [
    "BLOCK_BYTES",
    "Encoding",
    "assumed_encoding",
    "declared_encoding",
    "decoded_pieces",
    "detect_encoding",
    "file_encoding",
    "read_blocks",
    "read_lines",
    "split_lines",
    "stream_lines",
]

BLOCK_BYTES = 1 << 18
"""How much of a file is read at once."""

MAX_LINE_CHARACTERS = 1 << 26
"""How long a line of a packed file or of a stream may be."""

_HEAD_BYTES = 1 << 16
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the one of UTF-16 LE
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_IN_CP1252 = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
_ASCII = bytes(range(128))
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how the bytes that are no UTF-8 are decoded, see below
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
        b"a".decode(codec, "replace")
    except (LookupError, ValueError):
        raise OptionError(
            f"data.encoding={cut(name)[1:-1]} is not a text encoding. Use a name such as utf-8, utf-16, cp1252 "
            "or gb18030."
        ) from None
    return "utf-8-sig" if codec == "utf-8" else codec


def file_encoding(path: Path, declared: str | None = None) -> Encoding:
    """Return the declared encoding of a file, or the detected one.

    Raises `OptionError` when the declared encoding does not exist, `DataError` when none fits.
    """
    return detect_encoding(path) if declared is None else Encoding(declared_encoding(declared))


def assumed_encoding(path: Path, declared: str | None = None) -> Encoding:
    """Return what `file_encoding` returns, as far as the beginning of the file can tell.

    It is the same whenever the whole file can be decoded with it.
    """
    if declared is not None:
        return Encoding(declared_encoding(declared))
    head = _head(path)
    marked = _marked_encoding(head)
    if marked is not None:
        return marked
    wide = _utf16_without_mark(head)
    return Encoding("utf-8") if wide is None else _unmarked_utf16(wide)


def detect_encoding(path: Path) -> Encoding:
    """Detect the encoding of a whole file, read in blocks.

    The rule, in this order: a byte order mark; UTF-16 without one, when nearly all zero bytes of
    the beginning are at even or at odd offsets; valid UTF-8; GB18030, when it is valid, holds at
    least four Han characters, and four fifths of its characters beyond ASCII are common Han
    characters (the first level of GB 2312) or Chinese punctuation; cp1252, when it defines every
    byte. Otherwise `DataError`, and so it is where most bytes beyond ASCII are UTF-8 (nine tenths, if it
    may be GB18030): single lines are in another encoding then.
    """
    head = _head(path)
    marked = _marked_encoding(head)
    if marked is not None:
        return marked
    wide = _utf16_without_mark(head)
    if wide is not None and _undecodable(path, wide) is None:
        return _unmarked_utf16(wide)
    undecodable = _undecodable(path, "utf-8")
    if undecodable is None:
        return Encoding("utf-8")
    is_chinese, is_western, utf8_share = _legacy_encodings(path)
    if utf8_share > (0.9 if is_chinese else 0.5):
        raise _undecodable_error(
            path,
            "UTF-8",
            undecodable,
            also=" Most other characters beyond ASCII are UTF-8: this line was probably saved in another "
            "encoding than the rest and should be corrected. If not:",
        )
    if is_chinese:
        return Encoding(
            "gb18030",
            "Encoding: not UTF-8; taken as GB18030 (Chinese). If texts look wrong, set data.encoding.",
        )
    if is_western:
        return Encoding(
            "cp1252",
            "Encoding: not UTF-8; taken as cp1252 (Western). If texts look wrong, set data.encoding.",
        )
    raise _undecodable_error(path, "UTF-8", undecodable, also=" Neither GB18030 nor cp1252 fits.")


def read_blocks(path: Path, encoding: str, *, block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """Yield the text of a file in blocks of whole lines.

    Raises
    ------
    DataError
        Bytes do not fit the encoding (with offset, line and advice), or a line holds a NUL. The
        lines before it are yielded first.
    """
    num_lines = 0
    for block in _decoded_blocks(path, encoding, block_bytes):
        if "\0" not in block:
            yield block
            continue
        lines = split_lines(block)
        wrong = next(row for row, line in enumerate(lines) if "\0" in line)
        if wrong:
            yield "".join(lines[:wrong])
        for previous in _decoded_blocks(path, encoding, block_bytes):
            if "\0" in previous:
                break
            num_lines += len(split_lines(previous))
        raise _nul_error(lines[wrong], num_lines + wrong + 1, path)


def decoded_pieces(path: Path, encoding: str, *, block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """Yield the text of a file in pieces that may end anywhere; memory stays constant.

    Raises `DataError` for bytes that do not fit the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    with open_unpacked(path) as handle:
        while data := handle.read(block_bytes):
            yield _decoded(decoder, data, path, encoding)
    yield _decoded(decoder, b"", path, encoding)


def _decoded_blocks(path: Path, encoding: str, block_bytes: int) -> Iterator[str]:
    most = MAX_LINE_CHARACTERS
    rest: list[str] = []  # the beginning of a line whose end has not been read
    num_rest = 0
    for text in decoded_pieces(path, encoding, block_bytes=block_bytes):
        # A carriage return at the end may be the first half of a line end.
        end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
        if end:
            yield "".join([*rest, text[:end]])
            rest, num_rest = [], 0
        if end < len(text):
            rest.append(text[end:])
            num_rest += len(text) - end
            if num_rest > most:  # a small archive may hold a line without end
                if packing_of(path) is not None:
                    raise _long_line_error(path, None)
                most *= 16
    if any(rest):
        yield "".join(rest)


def _long_line_error(path: str | Path, line: int | None) -> DataError:
    return DataError(
        f"A line has more than {MAX_LINE_CHARACTERS:,} characters and does not end. Texts are expected, "
        "one row a line: look at the beginning of the input.",
        path=path,
        line=line,
    )


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, path: Path, encoding: str) -> str:
    try:
        return decoder.decode(data, final=not data)
    except UnicodeError as error:
        undecodable = _undecodable(path, encoding)
        if undecodable is None:  # UTF-16 without its mark
            raise DataError(
                f"Cannot be read as {encoding}: {error}. {_ADVICE}", path=path
            ) from None
        raise _undecodable_error(path, encoding, undecodable) from None


def split_lines(block: str) -> list[str]:
    r"""Return the lines of a text with their line ends (`\n`, `\r\n` or `\r`)."""
    lines = block.splitlines(keepends=True)
    num_ends = _line_ends(block, after_return=False)
    if len(lines) == num_ends + (not block.endswith(("\n", "\r")) and bool(block)):
        return lines
    return list(io.StringIO(block, newline=""))  # other characters count as line ends for `str`


def read_lines(path: Path, encoding: str, *, block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """Yield the lines of a file with their line ends; errors as for `read_blocks`."""
    for block in read_blocks(path, encoding, block_bytes=block_bytes):
        yield from split_lines(block)


def stream_lines(handle: BinaryIO, encoding: str, source: str) -> Iterator[str]:
    """Yield the lines of a byte stream that can be read only once, as soon as each is there.

    Raises `DataError` as `read_lines` does, without the offset, and for a line that does not end.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    rest, number = "", 0
    while True:
        chunk = handle.readline(MAX_LINE_CHARACTERS // 4)
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
        if len(rest) > MAX_LINE_CHARACTERS:
            raise _long_line_error(source, number + 1)
    if rest:
        yield _without_nul(rest, number + 1, source)


def _without_nul(line: str, number: int, source: str | Path) -> str:
    if "\0" in line:
        raise _nul_error(line, number, source)
    return line


def _nul_error(line: str, number: int, source: str | Path) -> DataError:
    return DataError(
        f"There is a NUL character at position {line.index(chr(0)) + 1} of the line: this is "
        f"not plain text, or the encoding is another one. {_ADVICE}",
        path=source,
        line=number,
    )


def _head(path: Path) -> bytes:
    with open_unpacked(path) as handle:
        return handle.read(_HEAD_BYTES)


def _chunks(path: Path) -> Iterator[bytes]:
    with open_unpacked(path) as handle:
        while chunk := handle.read(BLOCK_BYTES):
            yield chunk


def _marked_encoding(head: bytes) -> Encoding | None:
    for mark, name in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            label = "UTF-8" if name == "utf-8-sig" else name.upper()
            return Encoding(name, f"Encoding: {label}, from the byte order mark.")
    return None


def _unmarked_utf16(name: str) -> Encoding:
    return Encoding(name, f"Encoding: {name.upper()}, from the offsets of the zero bytes.")


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


def _legacy_encodings(path: Path) -> tuple[bool, bool, float]:
    """Whether the file is valid GB18030 and mostly common Chinese; whether cp1252 defines its bytes.

    Also, how much of its bytes beyond ASCII is valid UTF-8.
    """
    decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("gb18030")()
    tolerant = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    counts: Counter[str] = Counter()
    num_beyond = num_invalid = 0
    is_western = True
    for chunk in itertools.chain(_chunks(path), [b""]):
        num_beyond += len(chunk.translate(None, _ASCII))
        num_invalid += len(_NOT_UTF8.findall(tolerant.decode(chunk, final=not chunk)))
        is_western = is_western and not any(byte in chunk for byte in _NOT_IN_CP1252)
        if decoder is not None:
            try:
                counts.update(decoder.decode(chunk, final=not chunk))
            except UnicodeDecodeError:
                decoder = None
    beyond_ascii = {character: count for character, count in counts.items() if character > "\x7f"}
    common = _common_chinese()
    num_common = sum(count for character, count in beyond_ascii.items() if character in common)
    num_han = sum(
        count for character, count in beyond_ascii.items() if "\u4e00" <= character <= "\u9fff"
    )
    is_chinese = num_han >= 4 and num_common >= 0.8 * sum(beyond_ascii.values())
    share = 1 - num_invalid / num_beyond if num_beyond else 0.0
    return decoder is not None and is_chinese, is_western, share
