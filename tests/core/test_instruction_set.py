from __future__ import annotations

import platform

import pytest

from multihot.core.instruction_set import has_vnni, instruction_set


@pytest.mark.parametrize(
    ("flags", "name", "vnni"),
    [
        ("fpu avx2 avx512bw avx512_vnni amx_int8", "AMX", True),
        ("fpu avx2 avx512bw avx512_vnni", "AVX512-VNNI", True),
        ("fpu avx2 avx_vnni", "AVX-VNNI", True),
        ("fpu avx2 avx512bw", "AVX512", False),
        ("fpu avx avx2", "AVX2", False),
        ("fpu sse2", "x86-64", False),
    ],
)
def test_the_best_instruction_set_is_named(flags: str, name: str, vnni: bool) -> None:
    found = instruction_set(f"processor\t: 0\nmodel name\t: avx512_vnni?\nflags\t\t: {flags}\n")

    assert (found, has_vnni(found)) == (name, vnni)


def test_where_no_flags_are_listed_the_architecture_is_named() -> None:
    assert instruction_set("processor : 0\n") == platform.machine()
