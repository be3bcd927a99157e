"""Freed memory is used again, seen by counting page faults, and products of new shapes leave none behind."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from multihot.models.optimize import keep_freed_memory

_PAGE_FAULTS = """
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

_SHAPES = """
import re, sys, torch
from pathlib import Path
from multihot.core.memory import keep_few_kernels

torch.set_num_threads(1)
if sys.argv[1] == "few":
    keep_few_kernels()
weights = torch.randn(256, 256)

def anonymous_kb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def multiply(rows):
    torch.ops.mkldnn._linear_pointwise(torch.randn(rows, 256), weights, None, "none", [], "")

for _ in range(20):
    multiply(500)
before = anonymous_kb()
for rows in range(100, 400):
    multiply(rows)
print(anonymous_kb() - before)
"""


def printed_number(script: str, how: str) -> int:
    command = [sys.executable, "-c", script, how]
    # This process may have set for itself what the script is to decide.
    environment = {name: value for name, value in os.environ.items() if "CAPACITY" not in name}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_tensors_take_the_place_of_freed_ones_without_new_page_faults() -> None:
    assert printed_number(_PAGE_FAULTS, "kept") < printed_number(_PAGE_FAULTS, "given back") / 10


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="reads /proc, and calls a product of oneDNN",
)
def test_products_of_ever_new_shapes_leave_little_memory_behind() -> None:
    assert printed_number(_SHAPES, "few") < printed_number(_SHAPES, "as torch does") / 4


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert not keep_freed_memory()
