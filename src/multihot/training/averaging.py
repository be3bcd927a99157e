"""A running average of the weights, which often decides better than the last ones.

It lies beside the optimiser's moments of each parameter, so that checkpoints hold it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AVERAGE", "WeightAverage"]

AVERAGE = "average"
"""Key of the averaged weights in the optimiser's state of a parameter."""


class WeightAverage:
    """Exponential moving average of all trainable weights (Polyak and Juditsky 1992; Kingma and Ba 2015, 7.2).

    After step `t` the average moves towards the weights by `1 - min(decay, (1 + t) / (10 + t))`: the
    first steps, far from the end, are soon forgotten.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = optimizer
        self._decay = decay

    def update(self, result: Any) -> None:
        """Take the weights of a step in; a callable for after the step."""
        step = result.step.number
        # Parameters that have had no gradient yet have no moments, and adding a key would hide that.
        known = [p for p in self._parameters if p in self._optimizer.state]
        new = [p for p in known if AVERAGE not in self._optimizer.state[p]]
        for parameter in new:
            self._optimizer.state[parameter][AVERAGE] = parameter.detach().clone()
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        weights = [p.detach() for p in known]
        torch._foreach_lerp_([self._average(p) for p in known], weights, share)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the averaged weights; afterwards it has its own again."""
        known = [p for p in self._parameters if AVERAGE in self._optimizer.state.get(p, {})]
        self._swap(known)
        try:
            yield
        finally:
            self._swap(known)

    def _swap(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            state = self._optimizer.state[parameter]
            own = parameter.detach().clone()
            parameter.data.copy_(state[AVERAGE])
            state[AVERAGE] = own

    def _average(self, parameter: nn.Parameter) -> Tensor:
        average: Tensor = self._optimizer.state[parameter][AVERAGE]
        return average
