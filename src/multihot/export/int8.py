"""Rewrite an fp32 ONNX encoder so that its linear layers compute in int8.

A weight has one scale per output channel. An activation has one scale per token, or one for all
tokens that was measured before; either way the scores of a text do not depend on the other texts of
its batch. An activation that several layers read is quantised once. Layer norms, softmax, the
products of attention and the head stay in fp32.

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
from multihot.export.attention_nodes import simplify_attention
from multihot.export.int8_inputs import LEAST_GELU, InputPlan, Plans, input_plans
from multihot.export.layer_inputs import LayerInputs
from multihot.export.onnx_nodes import GraphEditor, LinearLayer, NodeIndex, linear_layers
from multihot.export.weight_rounding import rounded_weight

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
_Weight = tuple[str, int, npt.NDArray[np.float32], npt.NDArray[np.float32] | None]
"""Name of the stored integers, D, scales and bias."""
_RUNTIME = "com.microsoft"  # the domain of ONNX Runtime's own operators


@dataclass(frozen=True)
class Int8Model:
    """A rewritten model and what became of its linear layers."""

    model: onnx.ModelProto
    converted: tuple[str, ...]
    kept: tuple[str, ...]
    """Layers that stay in fp32, the head included."""
    scheme: str


def scheme_for(instructions: str) -> str:
    """Return the scheme that is exact on an instruction set of `core.instruction_set`."""
    return "u8s8" if has_vnni(instructions) or instructions in ("aarch64", "arm64") else "u8s7"


def to_int8(
    model: onnx.ModelProto,
    *,
    keep: Collection[str] = (),
    scheme: str,
    measured: LayerInputs | None = None,
) -> Int8Model:
    """Return a copy of the model whose linear layers and large embeddings are int8.

    Parameters
    ----------
    model
        Encoder and head in fp32, opset 18 or later.
    keep
        Layers that stay in fp32, by the names that `Int8Model.converted` has.
    scheme
        `u8s8` or `u8s7`; see `SCHEMES` and `scheme_for`.
    measured
        Of `export.layer_inputs.measure_layer_inputs` for this model. With it, weights are rounded so that the
        outputs change least, and the results of layer norms have fixed scales: both more exact and
        faster.

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
    linears = linear_layers(new.graph)
    names = [each.name for each in linears.values()]
    if unknown := sorted(set(keep) - set(names)):
        raise OptionError(f"The ONNX model has no layer '{unknown[0]}' to keep in fp32.")
    inner = _before_a_norm(new.graph)
    chosen = {out: each for out, each in linears.items() if each.name not in keep and out in inner}
    _rewrite(new, chosen, SCHEMES[scheme], measured)
    converted = tuple(each.name for each in chosen.values())
    return Int8Model(new, converted, tuple(name for name in names if name not in converted), scheme)


def _before_a_norm(graph: Any) -> set[str]:
    """Return the values from which a layer norm is reached: all but the head's."""
    found: set[str] = set()
    for node in reversed(graph.node):
        is_norm = node.op_type in ("LayerNormalization", "RMSNormalization")
        if is_norm or any(name in found for name in node.output):
            found.update(node.input)
    return found


def _rewrite(
    model: Any,
    chosen: Mapping[str, LinearLayer],
    largest: int,
    measured: LayerInputs | None,
) -> None:
    simplify_attention(model.graph)
    index = NodeIndex.of(model.graph)
    editor = GraphEditor.of(model.graph)
    plans = input_plans(chosen, index, measured)
    writer = _Writer(editor, index, largest, plans)
    biases = {each.bias.output[0] for each in plans.layers.values() if each.bias is not None}
    for node in model.graph.node:
        layer = chosen.get(node.output[0])
        if layer is not None:
            writer.linear(layer)
        elif (table := _large_table(node, index)) is not None:
            writer.embedding(node, table)
        elif node.output[0] not in biases:
            editor.keep([node])
    editor.write(model.graph)
    if any(node.domain == _RUNTIME for node in editor.nodes):
        _import_domain(model, _RUNTIME)


def _import_domain(model: Any, domain: str) -> None:
    from onnx import helper

    if all(each.domain != domain for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, 1))


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
    index: NodeIndex
    largest_weight: int
    plans: Plans
    _fixed: dict[str, str] = field(default_factory=dict)
    _per_token: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def linear(self, layer: LinearLayer) -> None:
        """Write u8 activations times (D, M) s8 weights, the scales and the bias."""
        value, output = layer.node.input[0], layer.node.output[0]
        plan, more = self.plans.inputs[value], self.plans.layers[output]
        weight = layer.weight
        if plan.divisors is not None:
            weight = weight * plan.divisors[:, None]
        weight8, scales = rounded_weight(weight, self.largest_weight, plan.moments)
        bias = self.index.array(more.bias_name)
        if plan.positive:
            shift = LEAST_GELU * weight8.sum(axis=0, dtype=np.int64) * scales
            bias = np.asarray((0 if bias is None else bias) - shift, np.float32)
        if more.divisors is not None:
            scales = scales / more.divisors
            bias = None if bias is None else bias / more.divisors
        stored = self.editor.constant(f"{layer.name}.int8", weight8)
        write = self._write_fixed if plan.scale is not None else self._write_per_token
        write(layer.name, value, plan, (stored, len(weight8), scales, bias), more.output(layer))

    def _write_fixed(
        self, name: str, value: str, plan: InputPlan, weight: _Weight, output: str
    ) -> None:
        stored, _, scales, bias = weight
        constant = self.editor.constant
        assert plan.scale is not None
        if value not in self._fixed:
            self._fixed[value] = self._quantise_fixed(value, plan, plan.scale)
        inputs = [self._fixed[value], stored, constant("one", np.array(1, np.float32))]
        inputs += [constant(f"{name}.scale", (scales * plan.scale).astype(np.float32))]
        inputs += [self._zero()]
        if bias is not None:
            inputs += ["", constant(f"{name}.bias", bias)]
        self.editor.add("MatMulIntegerToFloat", inputs, output, domain=_RUNTIME)

    def _quantise_fixed(self, value: str, plan: InputPlan, scale: float) -> str:
        """Return an activation as u8 in its own shape."""
        add, constant = self.editor.add, self.editor.constant
        if plan.divisors is not None and not plan.divided_before:
            factors = (1 / (plan.divisors * scale)).astype(np.float32)
            value, scale = add("Mul", [value, constant("steps", factors)]), 1.0
        step = constant("step", np.array(scale, np.float32))
        return add("QuantizeLinear", [value, step, self._zero()])

    def _write_per_token(
        self, name: str, value: str, plan: InputPlan, weight: _Weight, output: str
    ) -> None:
        stored, width, scales, bias = weight
        add, constant = self.editor.add, self.editor.constant
        if value not in self._per_token:
            quantise = self._quantise_positive if plan.positive else self._quantise_per_token
            rows = add("Reshape", [value, self.editor.ints(-1, width)])
            leading = add("Shape", [value], start=0, end=-1)
            self._per_token[value] = (*quantise(rows), leading)
        tokens, steps, leading = self._per_token[value]
        product = add("MatMulInteger", [tokens, stored, *([] if plan.positive else [self._zero()])])
        scaled = add("DequantizeLinear", [product, steps], axis=0)
        scaled = add("Mul", [scaled, constant(f"{name}.scale", scales)])
        if bias is not None:
            scaled = add("Add", [scaled, constant(f"{name}.bias", bias)])
        shape = add("Concat", [leading, self.editor.ints(len(scales))], axis=0)
        add("Reshape", [scaled, shape], output)

    def _quantise_per_token(self, rows: str) -> tuple[str, str]:
        """Return (T, D) u8 around 128, and the scales (T,)."""
        editor, add = self.editor, self.editor.add
        largest = add("ReduceMax", [add("Abs", [rows]), editor.ints(1)], keepdims=0)
        least = editor.constant("least", np.array(_SMALLEST_SCALE * _LARGEST, np.float32))
        largest = add("Max", [largest, least])
        steps = add("Mul", [largest, editor.constant("step", np.array(1 / _LARGEST, np.float32))])
        zeros = add("Expand", [self._zero(), add("Shape", [steps])])
        return add("QuantizeLinear", [rows, steps, zeros], axis=0), steps

    def _quantise_positive(self, rows: str) -> tuple[str, str]:
        """Return (T, D) u8 of which `n` steps are `LEAST_GELU`, and the scales (T,)."""
        editor, add = self.editor, self.editor.add
        least = editor.constant("least", np.array(LEAST_GELU, np.float32))
        largest = add("Max", [add("ReduceMax", [rows, editor.ints(1)], keepdims=0), least])
        span = add("Add", [largest, least])
        most = editor.constant("most", np.array(255 * LEAST_GELU, np.float32))
        below = add("Floor", [add("Div", [most, span])])
        below = add("Max", [below, editor.constant("one", np.array(1, np.float32))])
        steps = add("Div", [least, below])
        zeros = add("Cast", [below], to=2)
        return add("QuantizeLinear", [rows, steps, zeros], axis=0), steps

    def _zero(self) -> str:
        return self.editor.constant("zero", np.array(_ZERO, np.uint8))

    def embedding(self, node: Any, table: npt.NDArray[np.float32]) -> None:
        """Write rows of int8 (V, D) with one scale each."""
        editor, add, name = self.editor, self.editor.add, node.input[0]
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), _SMALLEST_SCALE) / _LARGEST
        rounded = np.round(table / scales).astype(np.int8)
        rows = add("Gather", [editor.constant(f"{name}.int8", rounded), node.input[1]])
        steps = editor.constant(f"{name}.scale", scales.astype(np.float32))
        cast = add("Cast", [rows], to=1)
        add("Mul", [cast, add("Gather", [steps, node.input[1]])], node.output[0])
