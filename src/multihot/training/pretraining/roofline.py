"""The roofline of a training step: the time of its matrix products (GEMMs of the same shapes) alone.

Every linear layer counts once forward (X Wt) and twice backward (dY W and dYt X), at the row counts
of a real batch. The products inside attention are left out; they are a few percent for short texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["LinearShape", "gemm_seconds", "linear_shapes"]

LinearShape = tuple[int, int, int]
"""Rows, inputs and outputs of one linear layer in one batch."""

_REPEATS = 20


def linear_shapes(network: nn.Module, compute: Callable[[], object]) -> list[LinearShape]:
    """Return the shapes of all linear layers that `compute`, a forward pass of `network`, runs."""
    found: list[LinearShape] = []

    def record(module: nn.Linear, args: tuple[Tensor, ...], output: Tensor) -> None:
        rows = args[0].numel() // module.in_features
        found.append((rows, module.in_features, module.out_features))

    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        with torch.inference_mode():
            compute()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def gemm_seconds(
    shapes: list[LinearShape],
    *,
    dtype: torch.dtype,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds of the matrix products of one training step: the best of twenty runs.

    The fastest, since other load on the machine can only slow it down.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator).to(device, dtype)

    # Each layer has operands of its own, as in a model, since caches count.
    operands = [
        (drawn(rows, inputs), drawn(outputs, inputs), drawn(rows, outputs))
        for rows, inputs, outputs in shapes
    ]
    seconds = []
    for _ in range(_REPEATS + 1):
        _finish(device)
        began = clock()
        for values, weights, incoming in operands:
            values @ weights.mT
            incoming @ weights
            incoming.mT @ values
        _finish(device)
        seconds.append(clock() - began)
    return min(seconds[1:])  # the first run warms up


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
