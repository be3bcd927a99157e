"""A character map of SentencePiece is followed only where it cannot lead out of itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from multihot.gate.character_map import check_character_map

UNITS = 768
START, LETTER, LEAF = 256, 353, 512  # 353 is where the letter a leads from 256


def _map(texts: bytes = b"bcd\0", *, to: int = LEAF, value: int = 0, units: int = UNITS) -> bytes:
    """Return a map of the letter a to the text that begins at `value`."""
    array = np.zeros(units, "<u4")
    array[0] = START << 10
    array[LETTER] = (LETTER ^ to) << 10 | 1 << 8 | ord("a")
    if to < units:
        array[to] = 1 << 31 | value
    return (4 * units).to_bytes(4, "little") + array.tobytes() + texts


def test_what_the_library_follows_safely_is_accepted() -> None:
    from tokenizers.normalizers import Precompiled

    check_character_map(_map())

    assert Precompiled(_map()).normalize_str("cab") == "cbcdb"


DAMAGED: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "a trie without units": lambda: bytes(4),
    "a size beyond the end": lambda: b"\xff\xff\0\0" + bytes(8),
    "a letter that leads out": lambda: _map(to=4096),
    "a trie that is cut": lambda: _map(units=600),
    "a text beyond the end": lambda: _map(value=5),
    "a text from within a character": lambda: _map("é\0".encode(), value=1),
    "a long text": lambda: _map(b"b" * 65 + b"\0"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_map_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the character map"):
        check_character_map(DAMAGED[name]())
