"""The first steps of a run, measured and taken back: how long a step takes on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from multihot.training import loop

__all__ = ["seconds_per_step"]

_WARM_UP_STEPS = 2
_FEWEST_STEPS = 8


def seconds_per_step(
    network: nn.Module,
    steps: Iterable[loop.Step[Any]],
    loss: Callable[[nn.Module, Any], tuple[Tensor, Tensor]],
    *,
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    at_most: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Return the mean seconds of a training step, over at least eight steps.

    The steps are real but for their learning rate, which is 0, and their optimiser, which is thrown
    away: the network is as it was.

    Parameters
    ----------
    network, steps, loss, autocast
        As for `loop.run`.
    at_most
        Seconds after which no further step is taken, once eight are done.
    clock
        Seconds from any moment.
    """
    moments: list[float] = []

    def enough(result: loop.StepResult[Any]) -> bool:
        moments.append(clock())
        num_steps = len(moments) - _WARM_UP_STEPS
        return num_steps >= _FEWEST_STEPS and moments[-1] - moments[0] >= at_most

    loop.run(
        network,
        steps,
        loss,
        torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.0, fused=True),
        learning_rate=lambda step: 0.0,
        seed_of=lambda step: 0,
        autocast=autocast,
        max_gradient_norm=0.0,
        explain=lambda batch: "of the trial at the start",
        after_step=[enough],
    )
    network.zero_grad(set_to_none=True)
    first = moments[_WARM_UP_STEPS - 1]
    return (moments[-1] - first) / (len(moments) - _WARM_UP_STEPS)
