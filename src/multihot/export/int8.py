"""Rewrite an fp32 ONNX encoder so that its linear layers compute in int8.

A weight has one scale per output channel, an activation one per token, so the scores of a text do
not depend on the other texts of its batch. An activation that several layers read is quantised
once. Layer norms, softmax, the products of attention and the head stay in fp32.

Letters: `T` tokens of all texts, `D` inputs and `M` outputs of a linear layer, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.instruction_set import has_vnni
from multihot.errors import OptionError
from multihot.export.onnx_nodes import GraphEditor, NodeIndex

if TYPE_CHECKING:
    import onnx

__all__ = ["SCHEMES", "Int8Model", "scheme_for", "to_int8"]

SCHEMES: Mapping[str, int] = {"u8s8": 127, "u8s7": 63}
"""Largest weight by scheme. Processors without VNNI add two products in 16 bits: 2 * 255 * 63 fits
there, 2 * 255 * 127 saturates."""

_ZERO = 128  # an activation of 0; activations are u8, the form for which there are fast kernels
_LARGEST = 127.0
_SMALLEST_SCALE = 1e-20  # of a token whose activations are all 0
_MIN_OPSET = 18
_LARGE_TABLE = 1 << 20  # numbers of an embedding that is worth storing in int8


@dataclass(frozen=True)
class Int8Model:
    """A rewritten model and what became of its linear layers."""

    model: onnx.ModelProto
    converted: tuple[str, ...]
    kept: tuple[str, ...]
    """Layers that stay in fp32, the head included."""
    scheme: str


@dataclass(frozen=True)
class _Linear:
    node: Any
    name: str
    weight: npt.NDArray[np.float32] = field(repr=False)


def scheme_for(instructions: str) -> str:
    """Return the scheme that is exact on an instruction set of `core.instruction_set`."""
    return "u8s8" if has_vnni(instructions) or instructions in ("aarch64", "arm64") else "u8s7"


def to_int8(model: onnx.ModelProto, *, keep: Collection[str] = (), scheme: str) -> Int8Model:
    """Return a copy of the model whose linear layers and large embeddings are int8.

    Parameters
    ----------
    model
        Encoder and head in fp32, opset 18 or later.
    keep
        Layers that stay in fp32, by the names that `Int8Model.converted` has.
    scheme
        `u8s8` or `u8s7`; see `SCHEMES` and `scheme_for`.

    Raises
    ------
    OptionError
        The scheme or a name in `keep` is unknown, or the opset is older.
    """
    import onnx

    if scheme not in SCHEMES:
        raise OptionError(f"scheme is '{scheme}'; expected one of {', '.join(SCHEMES)}.")
    opset = max((each.version for each in model.opset_import if not each.domain), default=0)
    if opset < _MIN_OPSET:
        raise OptionError(f"The ONNX model has opset {opset}; int8 needs {_MIN_OPSET} or later.")
    new = onnx.ModelProto()
    new.CopyFrom(model)
    index = NodeIndex.of(new.graph)
    linears = _linear_layers(new.graph, index)
    names = [each.name for each in linears.values()]
    if unknown := sorted(set(keep) - set(names)):
        raise OptionError(f"The ONNX model has no layer '{unknown[0]}' to keep in fp32.")
    inner = _before_a_norm(new.graph, index)
    chosen = {
        output: each
        for output, each in linears.items()
        if each.name not in keep and output in inner
    }
    editor = GraphEditor.of(new.graph)
    writer = _Writer(editor, SCHEMES[scheme])
    for node in new.graph.node:
        linear = chosen.get(node.output[0])
        if linear is not None:
            writer.linear(linear)
        elif (table := _large_table(node, index)) is not None:
            writer.embedding(node, table)
        else:
            editor.keep([node])
    editor.write(new.graph)
    converted = tuple(each.name for each in chosen.values())
    return Int8Model(new, converted, tuple(name for name in names if name not in converted), scheme)


def _linear_layers(graph: Any, index: NodeIndex) -> dict[str, _Linear]:
    """Return the products with a constant matrix by their output."""
    found: dict[str, _Linear] = {}
    used: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.domain:
            continue
        weight = index.array(node.input[1])
        if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
            continue
        name = _layer_name(node, index)
        name = node.name if name in used else name
        used.add(name)
        found[node.output[0]] = _Linear(node, name, weight)
    return found


def _layer_name(node: Any, index: NodeIndex) -> str:
    """Return the name of the layer as its bias has it, else the node's."""
    reader = index.only_consumer(node.output[0])
    if reader is not None and reader.op_type == "Add":
        for name in reader.input:
            if name.endswith(".bias") and name in index.constants and index.only_consumer(name):
                return str(name).removesuffix(".bias")
    return str(node.name or node.output[0])


def _before_a_norm(graph: Any, index: NodeIndex) -> set[str]:
    """Return the values from which a layer norm is reached: all but the head's."""
    found: set[str] = set()
    for node in reversed(graph.node):
        is_norm = node.op_type in ("LayerNormalization", "RMSNormalization")
        if is_norm or any(name in found for name in node.output):
            found.update(node.input)
    return found


def _large_table(node: Any, index: NodeIndex) -> npt.NDArray[np.float32] | None:
    """Return the matrix of which a node reads rows, if it is large."""
    if node.op_type != "Gather" or any(a.name == "axis" and a.i for a in node.attribute):
        return None
    table = index.array(node.input[0])
    if table is None or table.ndim != 2 or table.dtype != np.float32 or table.size < _LARGE_TABLE:
        return None
    return table


@dataclass
class _Writer:
    editor: GraphEditor
    largest_weight: int
    _quantised: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def linear(self, linear: _Linear) -> None:
        """Write (T, D) u8 times (D, M) s8, and both scales."""
        add, name = self.editor.add, linear.name
        tokens, scales, leading = self._tokens(linear.node.input[0])
        weight, per_channel = _quantised_weight(linear.weight, self.largest_weight)
        zero = self.editor.constant("int8_zero", np.array(_ZERO, np.uint8))
        product = add("MatMulInteger", [tokens, self.editor.constant(f"{name}.int8", weight), zero])
        scaled = add("DequantizeLinear", [product, scales], axis=0)
        scaled = add("Mul", [scaled, self.editor.constant(f"{name}.scale", per_channel)])
        shape = add("Concat", [leading, self.editor.ints(weight.shape[1])], axis=0)
        add("Reshape", [scaled, shape], linear.node.output[0])

    def _tokens(self, value: str) -> tuple[str, str, str]:
        """Return an activation as (T, D) u8, its scales (T,), and its shape without D."""
        if value not in self._quantised:
            self._quantised[value] = self._quantise(value)
        return self._quantised[value]

    def _quantise(self, value: str) -> tuple[str, str, str]:
        editor, add = self.editor, self.editor.add
        leading = add("Shape", [value], start=0, end=-1)
        width = add("Shape", [value], start=-1)
        rows = add("Reshape", [value, add("Concat", [editor.ints(-1), width], axis=0)])
        largest = add("ReduceMax", [add("Abs", [rows]), editor.ints(1)], keepdims=0)
        scales = add(
            "Mul", [largest, editor.constant("int8_step", np.array(1 / _LARGEST, np.float32))]
        )
        least = editor.constant("int8_least", np.array(_SMALLEST_SCALE, np.float32))
        scales = add("Max", [scales, least])
        zero = editor.constant("int8_zero", np.array(_ZERO, np.uint8))
        zeros = add("Expand", [zero, add("Shape", [scales])])
        return add("QuantizeLinear", [rows, scales, zeros], axis=0), scales, leading

    def embedding(self, node: Any, table: npt.NDArray[np.float32]) -> None:
        """Write rows of int8 (V, D) with one scale each."""
        editor, add, name = self.editor, self.editor.add, node.input[0]
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), _SMALLEST_SCALE) / _LARGEST
        rounded = np.round(table / scales).astype(np.int8)
        rows = add("Gather", [editor.constant(f"{name}.int8", rounded), node.input[1]])
        steps = editor.constant(f"{name}.scale", scales.astype(np.float32))
        cast = add("Cast", [rows], to=1)
        add("Mul", [cast, add("Gather", [steps, node.input[1]])], node.output[0])


def _quantised_weight(
    weight: npt.NDArray[np.float32], largest: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return (D, M) int8 and one scale per output, (M,)."""
    scales = np.maximum(np.abs(weight).max(axis=0), _SMALLEST_SCALE) / largest
    return np.round(weight / scales).astype(np.int8), scales.astype(np.float32)
