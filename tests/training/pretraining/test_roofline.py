"""The shapes of a network's matrix products, and their time."""

from __future__ import annotations

import itertools

import torch

from multihot.training.pretraining.schedule import gemm_seconds, linear_shapes
from training.toys import toy_network, toy_rows


def test_every_linear_layer_is_found_with_its_rows() -> None:
    network = toy_network()
    inputs, _ = toy_rows(6)

    assert linear_shapes(network, lambda: network(inputs)) == [(6, 4, 8), (6, 8, 3)]
    assert linear_shapes(network, lambda: network[0](inputs)) == [(6, 4, 8)]


def test_the_time_is_the_best_without_the_warm_up() -> None:
    moments = itertools.chain.from_iterable(
        (start, start + length)
        for start, length in ((0, 0), *((100 * run, 2 + run % 3) for run in range(1, 21)))
    )
    found = gemm_seconds(
        [(6, 4, 8)],
        dtype=torch.float32,
        device=torch.device("cpu"),
        clock=lambda: float(next(moments)),
    )

    assert found == 2.0
