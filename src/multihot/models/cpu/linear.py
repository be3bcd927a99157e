"""Linear layers laid out for prediction on a CPU.

oneDNN multiplies fastest by weights in a layout of its own. A plain linear layer is given them row
by row: in half precision they are laid out anew in every call, in float32 another, slower library
is taken. Weights that never change again are laid out once here, and the GELU that follows the
first product of a feed-forward block is computed while its numbers are still in the cache.

This is for networks that only predict: a later change of the weights would not be seen.

Letters: `K` inputs, `N` outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multihot.models.cpu.self_test import (
    FAILURES,
    KernelComparison,
    kernel_failure,
    replace_modules,
)

__all__ = ["PreparedLinear", "linear_failure", "prepare_linears"]

_FEWEST_ROWS = 256  # below, making code for a new number of rows takes longer than it saves
_LAYOUT_ROWS = 2048  # the layout that suits products of about so many rows
_BLOCKS = (("dense", "intermediate_act_fn"), ("lin1", "activation"))
"""Names of a block's first layer and of the activation behind it: BERT and its kin, DistilBERT."""


@functools.cache
def linear_failure(dtype: torch.dtype) -> str | None:
    """Return why `prepare_linears` cannot be used in this precision; `None` when it can."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this torch was built without oneDNN"
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "oneDNN does not compute in bfloat16 on this CPU"
    except FAILURES as error:
        return f"{type(error).__name__}: {error}"
    return kernel_failure(lambda: _comparisons(dtype), dtype)


def _comparisons(dtype: torch.dtype) -> Iterator[KernelComparison]:
    values = torch.randn(_FEWEST_ROWS, 64)
    with torch.no_grad():
        for bias in (True, False):
            plain = nn.Linear(64, 48, bias=bias)
            expected = plain(values)
            for gelu in (False, True):
                prepared = PreparedLinear(plain, gelu=gelu)
                prepared.lay_out(dtype)
                yield "output", prepared(values), F.gelu(expected) if gelu else expected


def prepare_linears(network: nn.Module, dtype: torch.dtype) -> None:
    """Lay out the weights of all linear layers; the results stay the same but for rounding.

    Names, parameters and state stay as they are; the layout is a second copy of the weights.

    Parameters
    ----------
    network
        A network whose weights are final, on a CPU.
    dtype
        Precision of the products: float32, or bfloat16, which is also that of the outputs.
    """
    for module in network.modules():
        for layer_name, activation_name in _BLOCKS:
            layer = getattr(module, layer_name, None)
            activation = getattr(module, activation_name, None)
            if type(layer) is nn.Linear and _is_gelu(activation):
                prepared = PreparedLinear(layer, gelu=True).train(layer.training)
                setattr(module, layer_name, prepared)
                setattr(module, activation_name, nn.Identity())
    replace_modules(network, _replacement)
    for module in network.modules():
        if isinstance(module, PreparedLinear) and module.layout is None:  # new, or of a copy
            module.lay_out(dtype)


def _replacement(module: nn.Module) -> nn.Module | None:
    return PreparedLinear(module, gelu=False) if type(module) is nn.Linear else None


class PreparedLinear(nn.Linear):
    """A linear layer with a second copy of its weights; see `prepare_linears`.

    It takes over the parameters of a plain one, and with `gelu` computes the GELU that follows. A
    copy, pickled or not, leaves the layout behind and computes the same without it.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool) -> None:
        nn.Module.__init__(self)  # nn.Linear's own would draw new weights
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.gelu = gelu
        self.layout: tuple[Tensor, Tensor | None] | None = None
        """Weight as oneDNN wants it, and the bias in the same precision."""

    def lay_out(self, dtype: torch.dtype) -> None:
        """Lay the weight out for products in `dtype`."""
        weight = self.weight.detach().to(dtype).contiguous()
        bias = None if self.bias is None else self.bias.detach().to(dtype)
        self.layout = torch.ops.mkldnn._reorder_linear_weight(weight, _LAYOUT_ROWS), bias
        self.dtype = dtype

    def forward(self, values: Tensor) -> Tensor:
        """Return the product, and its GELU where the layer has taken that over.

        *Shapes:* (..., K) -> (..., N).
        """
        if self.layout is None or values.numel() < _FEWEST_ROWS * self.in_features:
            plain = F.linear(values, self.weight, self.bias)
            return F.gelu(plain) if self.gelu else plain
        weight, bias = self.layout
        # "none": GELU by erf, not by tanh
        activation, algorithm = ("gelu", "none") if self.gelu else ("none", "")
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            values.to(self.dtype), weight, bias, activation, [], algorithm
        )
        return product

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "layout": None}


def _is_gelu(activation: object) -> bool:
    """Return whether this is the exact GELU (Hendrycks and Gimpel 2016), without approximation."""
    from transformers.activations import GELUActivation

    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    return isinstance(activation, GELUActivation)
