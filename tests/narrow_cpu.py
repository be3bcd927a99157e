"""Prints the environment that hides AVX-512 and all that came after AVX2 from the libraries below us.

    env $(python tests/narrow_cpu.py) python -m pytest

Kernels of other instruction sets add in another order, so what holds only in the last bit fails.
A processor that lacks these instructions anyway, or that is not x86-64, loses nothing.
"""

from __future__ import annotations

from numpy._core import _multiarray_umath as numpy_core

LIMITS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def narrow() -> dict[str, str]:
    """Return variables of the environment; none where there is no AVX2 to fall back to."""
    has: dict[str, bool] = numpy_core.__cpu_features__
    if not has.get("AVX2"):
        return {}
    # numpy warns of names that it has no kernels for, so only those that are used are named.
    used = [name for name in numpy_core.__cpu_dispatch__ if has.get(name)]
    hidden = [name for name in used if name.startswith("AVX512") or name == "X86_V4"]
    return {**LIMITS, **({"NPY_DISABLE_CPU_FEATURES": ",".join(hidden)} if hidden else {})}


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in narrow().items()))  # noqa: T201
