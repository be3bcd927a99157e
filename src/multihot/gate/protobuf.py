"""The wire format of protocol buffers, as far as a file of ONNX needs it: fields in, fields out.

A message is a row of fields, each a number and a value: an integer (wire type 0), 8 bytes (1), a length
and so many bytes (2), or 4 bytes (5). Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = [
    "LENGTH_DELIMITED",
    "VARINT",
    "bytes_field",
    "bytes_header",
    "integer_field",
    "packed_field",
    "packed_integers",
    "read_fields",
    "signed",
]

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5

_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_SHIFT = 63
_MAX_VALUE = 1 << 64


def read_fields(
    message: memoryview, start: int, end: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the fields of a message: number, wire type, integer value, first byte, byte after the last.

    The integer is 0 for all but wire type 0; the bytes are those of the value without its length.
    Raises `ValueError` for what is no message.

    Parameters
    ----------
    message
        Bytes that hold the message, *shape* (bytes,).
    start, end
        Where in them it lies.
    """
    place = start
    while place < end:
        key, place = _varint(message, place, end)
        number, kind = key >> 3, key & 7
        value = 0
        first = place
        if kind == VARINT:
            value, place = _varint(message, place, end)
        elif kind == LENGTH_DELIMITED:
            length, first = _varint(message, place, end)
            place = first + length
        elif kind in _FIXED:
            place += _FIXED[kind]
        else:
            raise ValueError(f"a field of the unknown wire type {kind}")
        if place > end or number == 0:
            raise ValueError("a field that ends behind its message")
        yield number, kind, value, first, place


def _varint(message: memoryview, place: int, end: int) -> tuple[int, int]:
    """Return the integer at a place, and the place behind it."""
    result = shift = 0
    while place < end and shift <= _MAX_SHIFT:
        byte = message[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result % _MAX_VALUE, place
        shift += 7
    raise ValueError("an integer that does not end")


def signed(value: int) -> int:
    """Return what a 64-bit integer of the wire is as a signed number."""
    return value - _MAX_VALUE if value >= _MAX_VALUE >> 1 else value


def packed_integers(message: memoryview, first: int, end: int) -> list[int]:
    """Return the integers of a packed field, as `read_fields` would one by one."""
    found: list[int] = []
    while first < end:
        value, first = _varint(message, first, end)
        found.append(value)
    return found


def integer_field(number: int, value: int) -> bytes:
    """Return a field that holds an integer."""
    return _encoded(number << 3 | VARINT) + _encoded(value % _MAX_VALUE)


def bytes_field(number: int, *parts: bytes | str) -> bytes:
    """Return a field that holds bytes: a text in UTF-8, a message, or packed numbers."""
    content = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return bytes_header(number, len(content)) + content


def bytes_header(number: int, length: int) -> bytes:
    """Return what stands before the bytes of a field that has so many."""
    return _encoded(number << 3 | LENGTH_DELIMITED) + _encoded(length)


def packed_field(number: int, values: Iterable[int]) -> bytes:
    """Return a field that holds packed integers."""
    return bytes_field(number, *(_encoded(value % _MAX_VALUE) for value in values))


def _encoded(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
