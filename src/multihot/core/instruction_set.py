"""Which instructions for 8-bit products the processor has."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["has_vnni", "instruction_set"]

_CPU_INFO = Path("/proc/cpuinfo")
_KNOWN = {  # by flag as Linux calls it, the fastest first
    "amx_int8": "AMX",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512bw": "AVX512",
    "avx2": "AVX2",
}
_WITH_VNNI = ("AMX", "AVX512-VNNI", "AVX-VNNI")


def instruction_set(cpu_info: str | None = None) -> str:
    """Return the fastest known instruction set: `AMX`, `AVX512-VNNI`, `AVX-VNNI`, `AVX512`, `AVX2`.

    Elsewhere than on x86, and where the system does not tell, it is the name of the architecture.

    Parameters
    ----------
    cpu_info
        Content of `/proc/cpuinfo`; default: this machine's.
    """
    if cpu_info is None:
        cpu_info = _CPU_INFO.read_text("utf-8", "replace") if _CPU_INFO.is_file() else ""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags = set(value.split())
            return next((known for flag, known in _KNOWN.items() if flag in flags), "x86-64")
    return platform.machine() or "unknown"


def has_vnni(name: str) -> bool:
    """Return whether an instruction set adds products of 8 bits in 32 bits, without saturation."""
    return name in _WITH_VNNI
