"""AdamW, its parameter groups, the learning-rate schedule and the running average of the weights.

The average is stored beside the optimiser's moments of each parameter, so checkpoints hold it.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from multihot.core.text_tables import counted
from multihot.errors import OptionError

__all__ = [
    "AVERAGE",
    "WeightAverage",
    "build_optimizer",
    "freeze_layers",
    "linear_schedule",
]

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_NEW = ("pooler",)  # inside the encoder, but initialised for the head


def build_optimizer(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    head_learning_rate: float | None = None,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Return fused AdamW (Loshchilov and Hutter 2019) with no decay on biases and normalisation.

    One-dimensional parameters are exactly those; decaying them only moves the model's offsets
    (Devlin et al. 2018, released code). Every group has a key `scale`, by which the loop multiplies
    the learning rate of the step.

    Parameters
    ----------
    network
        A network with `transformer`, or any other when the two options below are left alone.
    learning_rate
        Peak rate of the encoder's last layer.
    head_learning_rate
        Peak rate of everything outside the encoder, and of its pooler; `None` = `learning_rate`.
    layer_decay
        Each layer's rate is that of the layer above times this; the embeddings are below the first
        (Howard and Ruder 2018, section 3.2; Clark et al. 2020, A.2). 1 = the same for all.
    """
    head_scale = 1.0 if head_learning_rate is None else head_learning_rate / learning_rate
    groups: dict[tuple[bool, float], list[nn.Parameter]] = defaultdict(list)
    for parameter, scale in _scaled(network, head_scale, layer_decay):
        groups[parameter.ndim > 1, scale].append(parameter)
    described: list[dict[str, Any]] = [
        {"params": members, "weight_decay": weight_decay if decayed else 0.0, "scale": scale}
        for (decayed, scale), members in groups.items()
    ]
    return torch.optim.AdamW(described, lr=learning_rate, betas=betas, fused=True)


def _scaled(
    network: nn.Module, head_scale: float, layer_decay: float
) -> Iterator[tuple[nn.Parameter, float]]:
    """Yield every trainable parameter with its factor on the learning rate."""
    encoder: Any = getattr(network, "transformer", None)
    numbers = {} if encoder is None else _layer_numbers(encoder)
    top = max(numbers.values(), default=0)
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        if encoder is None:
            yield parameter, 1.0
        elif parameter in numbers:
            yield parameter, layer_decay ** (top - numbers[parameter])
        else:
            yield parameter, head_scale


def _layer_numbers(encoder: nn.Module) -> dict[nn.Parameter, int]:
    """Return the layer of each of an encoder's parameters, without those that are new for a head.

    Embeddings are 0, the layers 1, 2, ...; whatever else there is, such as a final normalisation,
    belongs to the last layer.
    """
    found = list(_pretrained(encoder))
    top = max((layer for _, _, layer in found), default=0)
    return {p: layer or (0 if "embed" in name else top) for name, p, layer in found}


def _pretrained(encoder: nn.Module) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Yield an encoder's parameters, without those that are new for a head: name, weights, 1-based layer.

    The layer is 0 outside all layers.
    """
    for name, parameter in encoder.named_parameters():
        if not name.startswith(_NEW):
            match = _LAYER.search(name)
            yield name, parameter, int(match.group(1)) + 1 if match else 0


def freeze_layers(
    network: nn.Module, count: int, say: Callable[[str], None] = lambda sentence: None
) -> None:
    """Train only the layers of the encoder above the `count` lowest, and the head; 0 changes nothing.

    The backward pass ends below these layers, and what lies there is not kept for it. Therefore all of the
    encoder outside its layers is frozen, such as a table of relative positions that every layer uses. The
    pooler is part of the head. Dropout goes on.

    Parameters
    ----------
    network
        A network with `transformer`.
    say
        Receives a sentence on what is trained.

    Raises `OptionError` where the encoder has fewer layers, or none that are known one by one.
    """
    if count == 0:
        return
    encoder: Any = network.transformer
    found = list(_pretrained(encoder))
    top = max((layer for _, _, layer in found), default=0)
    if top == 0:
        raise OptionError(
            f"frozen_layers={count} needs an encoder with layers that are known one by one, and those of "
            f"{type(encoder).__name__} are not, or share their weights. Leave frozen_layers out."
        )
    if count > top:
        raise OptionError(
            f"frozen_layers={count}, but this encoder has {counted(top, 'layer')}; expected at most {top}."
        )
    for _, parameter, layer in found:
        if layer <= count:
            parameter.requires_grad_(False)
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained)
    say(
        f"Frozen: the embeddings and the {counted(count, 'layer')} above them; "
        f"{100 * trained / sum(size for size, _ in sizes):.0f} % of the weights are trained."
    )


def linear_schedule(step: float, total_steps: int, warmup_steps: int) -> float:
    """Return the factor on the peak learning rate at a 0-based step; a pure function of the step.

    Rises linearly over `warmup_steps`, then falls linearly to 0 after the last step
    (Devlin et al. 2018, A.2).
    """
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


AVERAGE = "average"
"""Key of the averaged weights in the optimiser's state of a parameter."""


class WeightAverage:
    """Exponential moving average of all trainable weights (Polyak and Juditsky 1992; Kingma and Ba 2015, 7.2).

    After step `t` the average moves towards the weights by `1 - min(decay, (1 + t) / (10 + t))`: the
    first steps, far from the end, are soon discounted.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = optimizer
        self._decay = decay

    def update(self, result: Any) -> None:
        """Update the average after a step."""
        step = result.step.number
        # Parameters without a gradient so far have no moments, and adding a key would hide that.
        known = [p for p in self._parameters if p in self._optimizer.state]
        new = [p for p in known if AVERAGE not in self._optimizer.state[p]]
        for parameter in new:
            self._optimizer.state[parameter][AVERAGE] = parameter.detach().clone()
        rate = 1 - min(self._decay, (1 + step) / (10 + step))
        weights = [p.detach() for p in known]
        torch._foreach_lerp_([self._average(p) for p in known], weights, rate)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Swap the averaged weights into the network for the duration of the context."""
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
