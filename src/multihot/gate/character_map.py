"""The character map of SentencePiece: a trie of texts, and what each of them becomes.

The format: four bytes with the size of the trie, little-endian; its units, 32 bits each, of a double
array as the library Darts-clone writes it; and the texts, each of which ends with a zero byte. The
tokenizers library follows the units without looking where they lead.

Letters: `U` units of the trie, `S` states, those that some text leads to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["check_character_map"]

_MAX_BYTES = 4 << 20  # that of Unicode's own mapping has 240,000
_MAX_TEXT = 64  # bytes that one text becomes; 33 in Unicode's own mapping
_STATES_AT_ONCE = 4096
_BYTES = np.arange(1, 256)
_LABEL = 1 << 31 | 0xFF
_VALUE = (1 << 31) - 1

_Units = npt.NDArray[np.int64]


def check_character_map(content: bytes) -> None:
    """Raise `ValueError` for a map that leads out of itself, or that makes a long text of one character."""
    size = int.from_bytes(content[:4], "little")
    if len(content) > _MAX_BYTES or size < 4 or size % 4 or size + 4 > len(content):
        raise ValueError(f"the character map of {len(content)} bytes is not one of SentencePiece")
    texts = content[4 + size :]
    if max(map(len, texts.split(b"\0"))) > _MAX_TEXT:
        raise ValueError(f"the character map makes more than {_MAX_TEXT} bytes of one text")
    units = np.frombuffer(content, "<u4", size // 4, 4).astype(np.int64)
    places = _values(units)
    is_start = np.zeros(len(texts) + 1, np.bool_)
    is_start[: len(texts)] = (np.frombuffer(texts, np.uint8) & 0xC0) != 0x80  # of a character
    if places.max(initial=0) > len(texts) or not is_start[places].all():
        raise ValueError("the character map names texts that it does not hold")


def _values(units: _Units) -> _Units:
    """Return the values of all texts in the trie; raise `ValueError` where it leads out of itself."""
    offsets = (units >> 10) << ((units & 1 << 9) >> 6)
    states = offsets[:1]
    is_known = np.zeros(len(units), np.bool_)
    found = []
    while len(states):
        # Each byte of a text changes the last eight bits of a state.
        if (states | 0xFF).max() >= len(units):
            raise ValueError("the character map leads out of itself")
        states = np.unique(states[~is_known[states]])
        is_known[states] = True
        following = []
        for start in range(0, len(states), _STATES_AT_ONCE):
            places = states[start : start + _STATES_AT_ONCE, None] ^ _BYTES
            places = places[(units[places] & _LABEL) == _BYTES]
            leads_to = places ^ offsets[places]
            following.append(leads_to)
            leaves = leads_to[(units[places] >> 8 & 1).astype(np.bool_)]
            if leaves.max(initial=0) >= len(units):
                raise ValueError("the character map leads out of itself")
            found.append(units[leaves] & _VALUE)
        states = np.concatenate(following) if following else states[:0]
    return np.concatenate(found) if found else units[:0]
