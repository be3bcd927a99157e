"""One seed, many independent random streams, each a pure function of the seed and its name."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["named_generator", "named_seed"]


def named_generator(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """Return the generator of the stream `name` of a run.

    `numbers` (epoch, step) count from 1, because numpy ignores a trailing 0.
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *numbers])


def named_seed(seed: int, name: str, *numbers: int) -> int:
    """Return a 63-bit seed of the stream `name`, for libraries that take an integer."""
    return int(named_generator(seed, name, *numbers).integers(2**63))
