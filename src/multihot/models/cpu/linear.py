"""Linear layers laid out for prediction on a processor.

oneDNN multiplies fastest by weights in a layout of its own. A plain linear layer is given them row
by row: in half precision they are laid out anew in every call, in float32 another, slower library
is taken. Weights that never change again are laid out once here, and the GELU that follows the
first product of a feed-forward block is computed while its numbers are still in the cache.

This is for networks that only predict: a later change of the weights would not be seen.

Letters: `K` inputs, `N` outputs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PreparedLinear", "can_prepare", "prepare_linears"]

_FEWEST_ROWS = 256  # below, making code for a new number of rows takes longer than it saves
_LAYOUT_ROWS = 2048  # the layout that suits products of about so many rows
_BLOCKS = (("dense", "intermediate_act_fn"), ("lin1", "activation"))
"""Names of a block's first layer and of the activation behind it: BERT and its kin, DistilBERT."""


def can_prepare(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether torch has oneDNN's products in this precision on this device."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operations = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in operations):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def prepare_linears(network: nn.Module, dtype: torch.dtype) -> None:
    """Lay out the weights of all linear layers; the results stay the same but for rounding.

    Names, parameters and state stay as they are; the layout is a second copy of the weights.

    Parameters
    ----------
    network
        A network whose weights are final, on a processor.
    dtype
        Precision of the products: float32, or bfloat16, which is also that of the outputs.
    """
    for module in network.modules():
        for layer_name, activation_name in _BLOCKS:
            layer = getattr(module, layer_name, None)
            activation = getattr(module, activation_name, None)
            if type(layer) is nn.Linear and _is_gelu(activation):
                _prepare(layer, dtype, gelu=True)
                setattr(module, activation_name, nn.Identity())
    for module in network.modules():
        if type(module) is nn.Linear:
            _prepare(module, dtype, gelu=False)
        elif isinstance(module, PreparedLinear) and module.layout is None:  # of a copy
            module.lay_out(dtype)


class PreparedLinear(nn.Linear):
    """A linear layer that has become one of these; see `prepare_linears`.

    A copy, pickled or not, leaves the layout behind and computes the same without it.
    """

    gelu: bool
    layout: tuple[Tensor, Tensor | None] | None
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
            found = F.linear(values, self.weight, self.bias)
            return F.gelu(found) if self.gelu else found
        weight, bias = self.layout
        # "none": GELU by erf, not by tanh
        activation, algorithm = ("gelu", "none") if self.gelu else ("none", "")
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            values.to(self.dtype), weight, bias, activation, [], algorithm
        )
        return product

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "layout": None}


def _prepare(layer: nn.Linear, dtype: torch.dtype, *, gelu: bool) -> None:
    layer.__class__ = PreparedLinear
    assert isinstance(layer, PreparedLinear)
    layer.gelu = gelu
    layer.lay_out(dtype)


def _is_gelu(activation: object) -> bool:
    """Return whether this is the exact GELU (Hendrycks and Gimpel 2016), without approximation."""
    from transformers.activations import GELUActivation

    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    return isinstance(activation, GELUActivation)
