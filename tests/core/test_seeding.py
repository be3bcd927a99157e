"""Streams: independent, repeatable, addressed by name and number."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from multihot.core.seeding import named_generator, named_seed


def test_the_same_address_gives_the_same_numbers() -> None:
    first = named_generator(7, "dropout", 3).random(5)
    second = named_generator(7, "dropout", 3).random(5)

    assert first.tolist() == second.tolist()


def test_seed_name_and_number_each_open_another_stream() -> None:
    addresses = [(0, "head"), (1, "head"), (0, "split"), (0, "head", 1), (0, "head", 2)]

    assert len({named_seed(*address) for address in addresses}) == len(addresses)


def test_a_stream_does_not_depend_on_the_process() -> None:
    # Python's own hash() of a name differs from process to process.
    code = "from multihot.core.seeding import named_seed; print(named_seed(5, 'head', 2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "123"},
    )

    assert int(done.stdout) == named_seed(5, "head", 2)


def test_a_seed_fits_into_63_bits() -> None:
    seeds = np.array([named_seed(0, "dropout", step) for step in range(500)], dtype=np.int64)

    assert (seeds >= 0).all()
    assert len(set(seeds.tolist())) == 500
