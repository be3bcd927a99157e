"""Linear layers laid out for prediction on a processor.

oneDNN multiplies fastest by weights in a layout of its own. A plain linear layer is given them row
by row: in half precision they are laid out anew in every call, in float32 another, slower library
is taken. Weights that never change again are laid out once here, and the GELU that follows the
first product of a feed-forward block is computed while its numbers are still in the cache.

This is for networks that only predict: a later change of the weights would not be seen.

Letters: `R` rows of all other dimensions together, `K` inputs, `N` outputs.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["can_prepare", "prepare_linears"]

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
        if type(module) is nn.Linear and "forward" not in vars(module):
            _prepare(module, dtype, gelu=False)


def _prepare(layer: nn.Linear, dtype: torch.dtype, *, gelu: bool) -> None:
    weight = layer.weight.detach().to(dtype).contiguous()
    bias = None if layer.bias is None else layer.bias.detach().to(dtype)
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, _LAYOUT_ROWS)
    activation, algorithm = ("gelu", "none") if gelu else ("none", "")  # "none": by erf, not tanh

    def forward(layer: Any, values: Tensor) -> Tensor:
        """Stand in for `nn.Linear.forward`. *Shapes:* (..., K) -> (..., N)."""
        if values.numel() < _FEWEST_ROWS * layer.in_features:
            found = F.linear(values, layer.weight, layer.bias)
            return F.gelu(found) if gelu else found
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            values.to(dtype), laid_out, bias, activation, [], algorithm
        )
        return product

    layer.forward = MethodType(forward, layer)  # type: ignore[method-assign]


def _is_gelu(activation: object) -> bool:
    """Return whether this is the exact GELU (Hendrycks and Gimpel 2016), without approximation."""
    from transformers.activations import GELUActivation

    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    return isinstance(activation, GELUActivation)
