#!/bin/sh
# numpy 2.4.6 (OpenBLAS inside its wheel), x86-64 with AVX2.
#
# A matrix that holds the same 21 columns twice is multiplied from the left once. One would expect the
# two halves of the product to be equal to the last bit: same numbers, same call, same thread. With
# OpenBLAS' Haswell kernels (which every AVX2 CPU without AVX512 gets, and Zen's are the same) most
# columns differ in float32 by up to nine units in the last place, because a column is summed by another
# micro-kernel when it stands elsewhere in the matrix. With the SkylakeX kernels the halves are equal, so
# code that relies on it passes its tests on a machine with AVX512 and fails on the next one.
#
# Whoever compares two models by one product over the columns of both must subtract before summing.
#
# Seen: "18 of 21 columns differ, by 1.4e-04 at most (values around 149)".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
OPENBLAS_CORETYPE=Haswell OPENBLAS_NUM_THREADS=1 "$scratch/venv/bin/python" - <<'PYTHON'
import numpy as np

generator = np.random.default_rng(0)
weights = generator.integers(0, 4, (1000, 200)).astype(np.float32)
columns = generator.random((200, 21), dtype=np.float32)
product = weights @ np.concatenate([columns, columns], axis=1)
gap = np.abs(product[:, :21] - product[:, 21:])
differing = int((gap > 0).any(axis=0).sum())
print(f"{differing} of 21 columns differ, by {gap.max():.1e} at most (values around {product.mean():.0f})")
assert differing > 0, "the halves are equal now"
assert gap.max() < 1e-3
PYTHON
