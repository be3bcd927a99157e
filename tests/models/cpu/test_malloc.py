"""Freed memory is used again, which is seen by counting page faults, not by time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import ctypes, resource, sys, torch
from multihot.models.optimize import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
else:  # as glibc begins, before it has adapted to what a program frees
    assert ctypes.CDLL(None).mallopt(-3, 128 * 1024)

def make_and_free():
    kept = [torch.ones(500_000) for _ in range(8)]  # 2 MB each

for _ in range(3):
    make_and_free()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    make_and_free()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", _SCRIPT, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_tensors_take_the_place_of_freed_ones_without_new_page_faults() -> None:
    assert page_faults("kept") < page_faults("given back") / 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from multihot.models.optimize import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")

    assert not keep_freed_memory()
