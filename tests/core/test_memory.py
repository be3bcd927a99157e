"""What a process has freed can be given back to the system."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

import pytest

from multihot.core.memory import keep_few_kernels, return_freed_memory

_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def _has_trim() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")


def _own_bytes() -> int:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.skipif(not _has_trim(), reason="needs Linux with glibc")
def test_freed_blocks_between_used_ones_go_back_to_the_system() -> None:
    used, freed = [], []
    for _ in range(400):  # below the size from which glibc maps blocks one by one
        freed.append(os.urandom(100_000))
        used.append(os.urandom(1000))
    full = _own_bytes()
    freed.clear()

    return_freed_memory()

    assert _own_bytes() < full - 20_000_000
    assert len(used) == 400


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert return_freed_memory() is False


@pytest.mark.parametrize(("given", "capacity"), [({}, "16"), ({_CAPACITY: "200"}, "200")])
def test_few_products_are_remembered_unless_the_user_says_how_many(
    given: dict[str, str], capacity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))

    keep_few_kernels()

    assert os.environ == {_CAPACITY: capacity, "LRU_CACHE_CAPACITY": "1"}
