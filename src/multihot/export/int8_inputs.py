"""How each activation that linear layers read becomes 8 bits.

Letters: `D` inputs and `M` outputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.export.attention_nodes import value_layer
from multihot.export.layer_inputs import InputStatistics, LayerInputs
from multihot.export.onnx_nodes import LinearLayer, NodeIndex

__all__ = ["LEAST_GELU", "InputPlan", "LayerPlan", "Plans", "input_plans"]

FloatArray = npt.NDArray[np.float32]

LEAST_GELU = 0.17005
"""GELU is nowhere below minus this."""

_LARGEST = 127.0
_LARGEST_POSITIVE = 40.0  # 255 steps of LEAST_GELU; a larger value would be cut
_SHARE = 0.8  # of the differences between channels that goes from activations to weights
_MARGIN = 1.05  # of a fixed scale over what was measured; what lies beyond is cut
_TINY = 1e-5


@dataclass(frozen=True)
class InputPlan:
    """How one activation is quantised."""

    scale: float | None = None
    """One scale for all tokens, measured before; `None`: one per token, when it is computed."""
    positive: bool = False
    """It is the result of GELU: all 255 steps go from `-LEAST_GELU` to the largest of the token."""
    divisors: FloatArray | None = None
    """Each channel is divided by its own, and the weights are multiplied. *Shape:* (D,)."""
    divided_before: bool = False
    """The layer that made the channels has divided them."""
    moments: npt.NDArray[np.float64] | None = None
    """Of the activation after the division. *Shape:* (D, D)."""


@dataclass(frozen=True)
class LayerPlan:
    """What a layer does besides the product."""

    bias: Any | None = None
    """The node that adds the bias and is the product's only reader."""
    bias_name: str = ""
    divisors: FloatArray | None = None
    """Outputs are divided by these. *Shape:* (M,)."""

    def output(self, layer: LinearLayer) -> str:
        """Return the name of the value that layer and bias make."""
        return str((layer.node if self.bias is None else self.bias).output[0])


@dataclass(frozen=True)
class Plans:
    """Plans by the name of the activation, and by the name of the product."""

    inputs: Mapping[str, InputPlan]
    layers: Mapping[str, LayerPlan]


def input_plans(
    layers: Mapping[str, LinearLayer], index: NodeIndex, measured: LayerInputs | None
) -> Plans:
    """Plan the quantisation of everything that the layers read."""
    readers: dict[str, list[LinearLayer]] = {}
    for layer in layers.values():
        readers.setdefault(layer.node.input[0], []).append(layer)
    plans = {out: _with_bias(layer, index) for out, layer in layers.items()}
    if measured is None:
        return Plans({name: InputPlan() for name in readers}, plans)
    made_by = {plans[out].output(layer): out for out, layer in layers.items()}
    inputs: dict[str, InputPlan] = {}
    for name, read_by in readers.items():
        statistics = measured.inputs[name]
        kind = index.producers[name].op_type if name in index.producers else ""
        values = made_by.get(value_layer(name, index) or "")
        if kind in ("LayerNormalization", "RMSNormalization"):
            inputs[name] = _fixed(statistics, read_by, divided_before=False)
        elif values is not None:
            inputs[name] = _fixed(statistics, read_by, divided_before=True)
            before = plans[values]
            plans[values] = LayerPlan(before.bias, before.bias_name, inputs[name].divisors)
        elif kind == "Gelu" and statistics.largest.max() <= _LARGEST_POSITIVE:
            inputs[name] = InputPlan(positive=True, moments=statistics.moments)
        else:
            inputs[name] = InputPlan(moments=statistics.moments)
    return Plans(inputs, plans)


def _with_bias(layer: LinearLayer, index: NodeIndex) -> LayerPlan:
    add = index.only_consumer(layer.node.output[0])
    if add is None or add.op_type != "Add":
        return LayerPlan()
    for name in add.input:
        bias = index.array(name)
        if bias is not None and bias.shape == layer.weight.shape[1:]:
            return LayerPlan(add, name)
    return LayerPlan()


def _fixed(
    statistics: InputStatistics, readers: list[LinearLayer], *, divided_before: bool
) -> InputPlan:
    """Return a plan with one scale, whose channels are closer to each other after a division.

    As in Xiao et al. 2023 (SmoothQuant): where an activation is large, its weights take a share.
    """
    weights = np.max([np.abs(each.weight).max(axis=1) for each in readers], axis=0)
    largest = np.maximum(statistics.largest, _TINY)
    divisors = largest**_SHARE / np.maximum(weights, _TINY) ** (1 - _SHARE)
    divisors = (divisors / np.exp(np.log(divisors).mean())).astype(np.float32)
    return InputPlan(
        scale=_MARGIN * float((largest / divisors).max()) / _LARGEST,
        divisors=divisors,
        divided_before=divided_before,
        moments=statistics.moments / np.outer(divisors, divisors),
    )
