"""What the linear layers of an ONNX encoder read, measured on texts.

Letters: `T` tokens of all texts, `D` inputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multihot.core.runtimes import import_onnxruntime
from multihot.export.onnx_nodes import linear_layers

if TYPE_CHECKING:
    import onnx

__all__ = ["LayerInputs", "PaddedTexts", "measure_layer_inputs"]

PaddedTexts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Token ids and attention mask of some texts."""


@dataclass(frozen=True)
class InputStatistics:
    """What one activation was on the tokens of all texts."""

    largest: npt.NDArray[np.float32]
    """Largest absolute value of each input. *Shape:* (D,)."""
    moments: npt.NDArray[np.float64]
    """Sum over tokens of the products of inputs. *Shape:* (D, D)."""


@dataclass(frozen=True)
class LayerInputs:
    """Statistics of the activations that linear layers read, by the name of the value."""

    inputs: Mapping[str, InputStatistics]


def measure_layer_inputs(model: onnx.ModelProto, texts: Iterable[PaddedTexts]) -> LayerInputs:
    """Run the fp32 model over batches of texts and sum up what its linear layers read.

    Parameters
    ----------
    model
        As for `export.int8.to_int8`.
    texts
        Batches; some hundred texts are enough.
    """
    import onnx
    from onnx import TensorProto, helper

    onnxruntime = import_onnxruntime()
    layers = linear_layers(model.graph).values()
    names = list(dict.fromkeys(layer.node.input[0] for layer in layers))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    shown = {value.name for value in probe.graph.output}
    for name in names:
        if name not in shown:
            probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    largest: dict[str, npt.NDArray[np.float32]] = {}
    moments: dict[str, npt.NDArray[np.float64]] = {}
    for ids, mask in texts:
        found = session.run(names, {"input_ids": ids, "attention_mask": mask})
        for name, values in zip(names, found, strict=True):
            of_tokens = values.ndim == 3 and values.shape[:2] == mask.shape
            tokens = values[mask > 0] if of_tokens else _rows(values)
            biggest, products = np.abs(tokens).max(axis=0), tokens.T @ tokens
            if name in largest:
                np.maximum(largest[name], biggest, out=largest[name])
                moments[name] += products
            else:
                largest[name], moments[name] = biggest, products.astype(np.float64)
    return LayerInputs({name: InputStatistics(largest[name], moments[name]) for name in largest})


def _rows(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values.reshape(-1, values.shape[-1])
