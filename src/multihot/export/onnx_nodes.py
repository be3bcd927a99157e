"""Reading and writing the nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["GraphEditor", "LinearLayer", "NodeIndex", "linear_layers"]

_SMALL = 64  # numbers of a constant that is worth comparing with others


@dataclass(frozen=True)
class NodeIndex:
    """Which node makes a value and which nodes read it."""

    producers: dict[str, Any]
    consumers: dict[str, list[Any]]
    constants: dict[str, Any]
    """`TensorProto` of every initializer."""
    outputs: frozenset[str]

    @classmethod
    def of(cls, graph: Any) -> NodeIndex:
        """Read a `GraphProto`."""
        consumers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                consumers.setdefault(name, []).append(node)
        return cls(
            producers={name: node for node in graph.node for name in node.output if name},
            consumers=consumers,
            constants={tensor.name: tensor for tensor in graph.initializer},
            outputs=frozenset(value.name for value in graph.output),
        )

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """Return the value of a constant, `None` of everything else."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def only_consumer(self, name: str) -> Any | None:
        """Return the node that alone reads a value; `None` when several do or it is an output."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


@dataclass(frozen=True)
class LinearLayer:
    """A product with a constant matrix."""

    node: Any
    name: str
    """The name of its bias without `.bias`, else that of the node."""
    weight: npt.NDArray[np.float32] = field(repr=False)


def linear_layers(graph: Any) -> dict[str, LinearLayer]:
    """Return the products with a constant float32 matrix by their output."""
    index = NodeIndex.of(graph)
    found: dict[str, LinearLayer] = {}
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
        found[node.output[0]] = LinearLayer(node, name, weight)
    return found


def _layer_name(node: Any, index: NodeIndex) -> str:
    reader = index.only_consumer(node.output[0])
    if reader is not None and reader.op_type == "Add":
        for name in reader.input:
            if name.endswith(".bias") and name in index.constants and index.only_consumer(name):
                return str(name).removesuffix(".bias")
    return str(node.name or node.output[0])


@dataclass
class GraphEditor:
    """Collects new nodes and constants under names that the graph does not use yet."""

    taken: set[str]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    _shared: dict[tuple[Any, ...], str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Any) -> GraphEditor:
        """Start without nodes."""
        values = {name for node in graph.node for name in (*node.input, *node.output)}
        values |= {node.name for node in graph.node}
        values |= {each.name for each in (*graph.initializer, *graph.input, *graph.output)}
        return cls(values)

    def fresh(self, stem: str) -> str:
        """Return a name that is not taken."""
        name, number = stem, 1
        while name in self.taken:
            name, number = f"{stem}_{number}", number + 1
        self.taken.add(name)
        return name

    def constant(self, stem: str, value: npt.NDArray[Any]) -> str:
        """Add a constant; small ones that are equal become one."""
        from onnx import numpy_helper

        key = (value.dtype.str, value.shape, value.tobytes()) if value.size <= _SMALL else None
        if key is not None and key in self._shared:
            return self._shared[key]
        name = self.fresh(stem)
        self.constants.append(numpy_helper.from_array(value, name))
        if key is not None:
            self._shared[key] = name
        return name

    def ints(self, *values: int) -> str:
        """Add a constant of one dimension, int64."""
        return self.constant("ints", np.asarray(values, np.int64))

    def add(
        self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        from onnx import helper

        name = self.fresh(f"int8_{kind}") if output is None else output
        label = self.fresh(f"node_{name}")
        self.nodes.append(helper.make_node(kind, inputs, [name], label, **attributes))
        return name

    def keep(self, nodes: Iterable[Any]) -> None:
        """Add nodes as they are."""
        self.nodes.extend(nodes)

    def write(self, graph: Any) -> None:
        """Replace the nodes of a graph, add the new constants and drop those that nobody reads."""
        read = {name for node in self.nodes for name in node.input}
        read |= {value.name for value in graph.output}
        constants = [t for t in (*graph.initializer, *self.constants) if t.name in read]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(constants)
