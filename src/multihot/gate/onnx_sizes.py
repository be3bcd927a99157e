"""How large everything in an ONNX graph becomes for one batch, before a runtime sees the graph.

A graph that was changed can make gigabytes of nothing (a range, a stretched number, the product of two
long vectors) or compute for minutes, some of it while it is only loaded. Here shapes alone are computed,
operation by operation, so it is refused before anything of these sizes exists. Operations without a rule
are refused, too: the table of rules is the list of what a graph may have.

Letters: `T` tokens of the batch, padding included, `S` tokens of the longest text, `D` width of the
encoder, `W` stored numbers, `N` operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.onnx_arithmetic import ARITHMETIC, multiply_adds
from multihot.gate.onnx_layouts import LAYOUTS, SIZE_INPUTS
from multihot.gate.onnx_model import ONNX_TYPES, OnnxGraph, OnnxNode
from multihot.gate.onnx_numbers import COMPUTED, MAX_NUMBERS, computed, stored_numbers
from multihot.gate.onnx_operands import Misfit, Operands, ShapeRule, TensorShape

__all__ = ["OPERATIONS", "GraphCosts", "check_graph_sizes", "largest_graph_costs"]

OPERATIONS: Mapping[str, ShapeRule] = {**ARITHMETIC, **LAYOUTS}
"""What a graph may have; Microsoft's own operations have their domain before the name."""

_VERSIONS = range(18, 24)  # of ONNX's operations, whose rules these are
_MAX_DIMENSIONS = 8
_ITEM_BYTES = {name: size for name, size in ONNX_TYPES.values()}
_TYPE_NAMES = {number: name for number, (name, _) in ONNX_TYPES.items()}
_MANY_OPERATIONS = 4096
_SMALL_MATRIX = 1024  # numbers
_FEW_MATRICES = 32  # fewer are shared by layers
_SHARED_USES, _USES = 32, 4  # multiplications of a token with each stored weight
_MAX_INPUTS = 64  # of one operation


@dataclass(frozen=True)
class GraphCosts:
    """What a batch takes, or the most that it may take."""

    largest: int
    """Numbers of the largest tensor that is made."""
    live_bytes: int
    """The most that exists at once, constants aside, in the order in which onnxruntime runs a graph."""
    num_bytes: int
    """Of all that is made for a batch, one after the other."""
    multiply_adds: int
    """Multiplications with additions for a batch; of other operations, numbers read or written."""
    constant_bytes: int
    """Of what is made of stored tensors alone; a runtime makes it while it loads, and keeps it."""
    constant_multiply_adds: int
    """What that takes."""
    outputs: Mapping[str, TensorShape] = field(default_factory=dict)
    """Shapes of the graph's outputs."""


def largest_graph_costs(graph: OnnxGraph, *, rows: int, length: int) -> GraphCosts:
    """Return the most that a graph with these weights may take for a batch.

    Each is at least 1.5 times what the exports of the known families need. Their largest tensors are a wide
    layer's inside (4 D a token), the attention of all heads (S D / 32 a token, S D / 4 in the narrowest)
    and, of DeBERTa, the relative positions of every text (512 D), of which onnxruntime holds those of all
    layers at once. ALBERT computes with each of its few matrices up to 24 times. What takes a tenth of a
    second or a few hundred MB is allowed at any width.

    Parameters
    ----------
    graph
        Its stored tensors are what a file has to pay for larger bounds.
    rows, length
        Texts of the batch, and tokens of each with its padding.
    """
    tensors = graph.tensors.values()
    num_stored = sum(tensor.num_values for tensor in tensors)
    most_stored = max((tensor.num_values for tensor in tensors), default=0)
    tables = {node.inputs[0] for node in graph.nodes if node.op == "Gather" and node.inputs}
    weights = [t for t in tensors if len(t.shape) > 1 and t.dtype in _WEIGHT_TYPES]
    width = max([1, *(min(weight.shape) for weight in weights if len(weight.shape) == 2)])
    factors = [weight.num_values for weight in weights if weight.name not in tables]
    factors = [size for size in factors if size >= _SMALL_MATRIX]
    work = sum(factors) * (_USES if len(factors) > _FEW_MATRICES else _SHARED_USES)
    tokens, heads = rows * length, length * width  # of all heads together, at most
    num_operations = min(len(graph.nodes), _MANY_OPERATIONS)
    per_layer = tokens * (16 * width + heads // 4) + rows * 1024 * width
    live = tokens * (64 * width + heads // 2) + rows * 16_384 * width
    on_average = tokens * (2 * width + heads // 32) + rows * 64 * width
    return GraphCosts(
        largest=max(1 << 24, most_stored, per_layer),
        live_bytes=(1 << 28) + 4 * live,
        num_bytes=(1 << 29) + 4 * num_operations * on_average,
        multiply_adds=(1 << 30) + tokens * (work + work * length // width),
        constant_bytes=(1 << 26) + 4 * sum(len(tensor.data) for tensor in tensors),
        constant_multiply_adds=(1 << 30) + 256 * num_stored,
    )


_WEIGHT_TYPES = frozenset({"float32", "int8", "uint8"})


def check_graph_sizes(
    graph: OnnxGraph,
    path: Path,
    *,
    rows: int,
    length: int,
    error: type[MultihotError],
    most: GraphCosts | None = None,
) -> GraphCosts:
    """Return what a graph takes for one batch; raise `error` when that is more than an encoder needs.

    Nothing follows for batches of another shape, so every new shape has to be asked for.

    Parameters
    ----------
    graph
        Of `parse_onnx`. Each input is a matrix of numbers by text and token.
    path
        Of the file, for messages.
    rows, length
        Texts of the batch, and tokens of each with its padding.
    error
        The class of what is raised: also for an operation that is not in `OPERATIONS`, for shapes that
        an operation does not take, and for a size that follows from the texts.
    most
        Instead of `largest_graph_costs`.
    """
    where = shown_file(path)
    most = largest_graph_costs(graph, rows=rows, length=length) if most is None else most
    try:
        walk = _Walk(graph, rows, length, most)
        with np.errstate(all="ignore"):
            for node in graph.nodes:
                walk.take(node)
        return walk.costs()
    except Misfit as reason:
        raise error(
            f"{where}: {reason}. The file was changed, or is no export of multihot; restore it or export "
            "the model again."
        ) from None


class _Walk:
    """Takes the operations of a graph one by one and adds up what they cost."""

    def __init__(self, graph: OnnxGraph, rows: int, length: int, most: GraphCosts) -> None:
        self.graph, self.most = graph, most
        self.batch = f"{rows} texts of {length} tokens"
        self.shapes: dict[str, TensorShape | None] = {"": None}
        self.dtypes: dict[str, str] = {"": ""}
        self.require_known_forms(rows, length)
        for name, tensor in graph.tensors.items():
            self.shapes[name], self.dtypes[name] = tensor.shape, tensor.dtype
        for name, value in graph.inputs.items():
            self.shapes[name], self.dtypes[name] = (rows, length), value.dtype
        self.decisive = _decisive_names(graph.nodes)
        self.numbers: dict[str, NDArray[Any]] = {
            name: stored_numbers(tensor)
            for name, tensor in graph.tensors.items()
            if name in self.decisive and tensor.num_values <= MAX_NUMBERS
        }
        self.constants = {"", *graph.tensors}
        self.largest = 0
        # For a batch, and of constants.
        self.num_bytes = [0, 0]
        self.multiply_adds = [0, 0]

    def require_known_forms(self, rows: int, length: int) -> None:
        """Raise `Misfit` for another version of ONNX, and for inputs that are no batch of tokens."""
        version = self.graph.opset.get("", 0)
        if version not in _VERSIONS:
            raise Misfit(
                f"its operations are of ONNX {version}; expected {_VERSIONS[0]} to {_VERSIONS[-1]}"
            )
        for name, value in self.graph.inputs.items():
            fits = len(value.shape) == 2 and all(
                isinstance(size, str) or size == given
                for size, given in zip(value.shape, (rows, length), strict=True)
            )
            if not fits or value.dtype not in _ITEM_BYTES or name in self.graph.tensors:
                raise Misfit(f"its input {cut(name)} does not take {self.batch}")

    def take(self, node: OnnxNode) -> None:
        """Find the shapes that an operation makes; raise `Misfit` where they are no encoder's."""
        names = node.outputs
        try:
            rule = OPERATIONS.get(node.op)
            if rule is None:
                raise Misfit("is none that an export has")
            operands = self.operands(node)
            made = rule(operands)
            if not 0 < len(names) <= len(made) or any(
                self.shapes.get(each) is not None for each in names
            ):
                raise Misfit("does not make these outputs")
            made = made[: len(names)]
            types = _types(operands, len(made))
            is_constant = all(name in self.constants for name in node.inputs)
            self.add_up(operands, made, types, is_constant)
            values: list[NDArray[Any] | None] = []
            if node.op in COMPUTED and not self.decisive.isdisjoint(names):
                values = computed(operands, made, types[0])
        except Misfit as reason:
            shown = cut(next(filter(None, names), ""))
            raise Misfit(f"the operation {cut(node.op)} that makes {shown} {reason}") from None
        if is_constant:
            self.constants.update(names)
        for name, shape, dtype in zip(names, made, types, strict=True):
            if name:
                self.shapes[name], self.dtypes[name] = shape, dtype
        for name, value in zip(names, values, strict=False):
            if value is not None:
                self.numbers[name] = value

    def operands(self, node: OnnxNode) -> Operands:
        """Return what is known of an operation's inputs."""
        if len(node.inputs) > _MAX_INPUTS:
            raise Misfit(f"takes {len(node.inputs)} inputs")
        try:
            shapes = [self.shapes[name] for name in node.inputs]
        except KeyError as missing:
            raise Misfit(f"takes {cut(missing.args[0])}, which nothing before it makes") from None
        return Operands(
            node.op,
            node.attributes,
            shapes,
            [self.dtypes[name] for name in node.inputs],
            [self.numbers.get(name) for name in node.inputs],
            len(node.outputs),
        )

    def add_up(
        self,
        operands: Operands,
        made: Sequence[TensorShape],
        types: Sequence[str],
        is_constant: bool,
    ) -> None:
        """Count what an operation makes; raise `Misfit` when it is too much."""
        most, written = self.most, 0
        for shape, dtype in zip(made, types, strict=True):
            size = math.prod(shape)
            if size > most.largest or len(shape) > _MAX_DIMENSIONS:
                raise Misfit(
                    f"makes {size:,} numbers of the shape {shape} for {self.batch}; expected at most "
                    f"{most.largest:,} in {_MAX_DIMENSIONS} dimensions"
                )
            self.largest = max(self.largest, size)
            self.num_bytes[is_constant] += size * _ITEM_BYTES[dtype]
            written += size
        self.multiply_adds[is_constant] += multiply_adds(operands, written)
        if is_constant:
            num_bytes, work = most.constant_bytes, most.constant_multiply_adds
        else:
            num_bytes, work = most.num_bytes, most.multiply_adds
        for found, bound, what in (
            (self.num_bytes[is_constant], num_bytes, "bytes are made"),
            (self.multiply_adds[is_constant], work, "numbers are computed with"),
        ):
            if found > bound:
                of = "constants" if is_constant else self.batch
                raise Misfit(f"is where {found:,} {what} of {of}; expected at most {bound:,}")

    def live_bytes(self) -> int:
        """Return the most bytes that exist at once, without what is made of constants."""
        order = _running_order(self.graph.nodes)
        last = {name: place for place, node in enumerate(order) for name in node.inputs}
        last.update(dict.fromkeys(self.graph.outputs, len(order)))
        ends: list[int] = [0] * (len(order) + 1)
        live = most = 0
        for place, node in enumerate(order):
            for name in node.outputs:
                shape = self.shapes[name]
                if shape is not None and name not in self.constants:
                    size = math.prod(shape) * _ITEM_BYTES[self.dtypes[name]]
                    live += size
                    ends[last.get(name, place)] += size
            most = max(most, live)
            live -= ends[place]
        return most

    def costs(self) -> GraphCosts:
        """Return what all operations together take; raise `Misfit` when that is too much at once."""
        outputs: dict[str, TensorShape] = {}
        for name in self.graph.outputs:
            shape = self.shapes.get(name)
            if shape is None:
                raise Misfit(f"nothing makes the output {cut(name)}")
            outputs[name] = shape
        live_bytes = self.live_bytes()
        if live_bytes > self.most.live_bytes:
            raise Misfit(
                f"it needs {live_bytes:,} bytes at once for {self.batch}; expected at most "
                f"{self.most.live_bytes:,}"
            )
        return GraphCosts(
            self.largest,
            live_bytes,
            self.num_bytes[0],
            self.multiply_adds[0],
            self.num_bytes[1],
            self.multiply_adds[1],
            outputs,
        )


def _decisive_names(nodes: Sequence[OnnxNode]) -> set[str]:
    """Return the names of tensors whose numbers decide about sizes, directly or through others."""
    found: set[str] = set()
    for node in reversed(nodes):
        for index in SIZE_INPUTS.get(node.op, ()):
            found.update(node.inputs[index : index + 1])
        if node.op in COMPUTED and not found.isdisjoint(node.outputs):
            found.update(node.inputs)
    found.discard("")
    return found


def _types(operands: Operands, number: int) -> list[str]:
    """Return the types of what an operation makes."""
    op, dtypes = operands.op, operands.dtypes
    if op in _FIXED_TYPES:
        return [_FIXED_TYPES[op]]
    if op == "Cast":
        to = operands.attribute("to", 0)
        if to not in _TYPE_NAMES:
            raise Misfit(f"makes the type {to}, which no export has")
        return [_TYPE_NAMES[to]]
    if op in ("Constant", "ConstantOfShape"):
        value = operands.attributes.get("value")
        return ["float32" if value is None else value.dtype]
    if op == "QuantizeLinear":
        return [dtypes[2] if operands.has(2) else "uint8"]
    if op == "DynamicQuantizeLinear":
        return ["uint8", "float32", "uint8"][:number]
    return [dtypes[1 if op in ("Where", "DequantizeLinear") else 0]] * number


_FIXED_TYPES = {
    **dict.fromkeys(["And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN"], "bool"),
    **dict.fromkeys(["Less", "LessOrEqual", "Not", "Or", "Xor"], "bool"),
    **dict.fromkeys(["Shape", "Size"], "int64"),
    "MatMulInteger": "int32",
    "com.microsoft.MatMulIntegerToFloat": "float32",
}


def _running_order(nodes: Sequence[OnnxNode]) -> list[OnnxNode]:
    """Return the operations as onnxruntime runs them: depth first from the last, later inputs first."""
    makers = {name: place for place, node in enumerate(nodes) for name in node.outputs if name}
    before = [sorted({makers[name] for name in node.inputs if name in makers}) for node in nodes]
    read = {place for places in before for place in places}
    waiting = [place for place in range(len(nodes)) if place not in read]
    order: list[OnnxNode] = []
    seen: set[int] = set()
    while waiting:
        place = waiting.pop()
        if place < 0:
            order.append(nodes[~place])
        elif place not in seen:
            seen.add(place)
            waiting.append(~place)
            waiting += [each for each in before[place] if each not in seen]
    return order
