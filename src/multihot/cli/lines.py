"""Lines of a file or of standard input, each with a name for messages."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from multihot.errors import DataError

__all__ = ["line_windows"]

_WINDOW_LINES = 256  # answered together; bounds memory, and the time until the first answer


def line_windows(source: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the lines of a file, or of standard input (`-`), some at a time: names and texts.

    Blank lines are left out. The encoding of a file is detected; standard input is UTF-8.
    Raises `DataError` for a file that is not there or is no text.
    """
    where = "standard input" if source == "-" else source
    numbered = (
        (f"Line {number} of {where}", text)
        for number, text in enumerate((line.rstrip("\r\n") for line in _lines(source)), start=1)
        if text.strip()
    )
    while window := list(islice(numbered, _WINDOW_LINES)):
        yield [name for name, _ in window], [text for _, text in window]


def _lines(source: str) -> Iterator[str]:
    from multihot.data.encoding import file_encoding, read_lines, stream_lines

    if source != "-":
        path = Path(source)
        if not path.is_file():
            raise DataError("There is no such file.", path=path)
        return read_lines(path, file_encoding(path).name)
    if isinstance(sys.stdin, io.StringIO):  # a program that feeds texts instead of bytes
        return iter(sys.stdin)
    return stream_lines(sys.stdin.buffer, "utf-8-sig", "standard input")
