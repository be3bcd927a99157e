"""A set of 64-bit digests that costs 12 to 24 bytes for each, whatever Python's objects cost."""

from __future__ import annotations

from array import array

__all__ = ["DigestSet"]

_FULLEST = 2 / 3  # of the places taken before the table doubles


class DigestSet:
    """Open addressing with linear probing; digests are uniform already, so they are their hash."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 10))
        self._mask = len(self._table) - 1
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, digest: bytes) -> bool:
        """Add the first 8 bytes of `digest`; return whether they were not there before."""
        value = int.from_bytes(digest[:8], "big") or 1  # 0 marks a free place
        if not _insert(self._table, self._mask, value):
            return False
        self._size += 1
        if self._size > _FULLEST * len(self._table):
            self._double()
        return True

    def _double(self) -> None:
        former = self._table
        self._table = array("Q", bytes(16 * len(former)))
        self._mask = len(self._table) - 1
        for value in former:
            if value:
                _insert(self._table, self._mask, value)


def _insert(table: array[int], mask: int, value: int) -> bool:
    place = value & mask
    while table[place]:
        if table[place] == value:
            return False
        place = (place + 1) & mask
    table[place] = value
    return True
