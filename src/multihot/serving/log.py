"""What a server says to whoever runs it."""

from __future__ import annotations

import sys

from multihot.errors import escaped

__all__ = ["log_line"]


def log_line(text: str) -> None:
    """Write one line to standard error; what a terminal would obey is escaped in it."""
    sys.stderr.write(f"{escaped(text)}\n")
    sys.stderr.flush()
