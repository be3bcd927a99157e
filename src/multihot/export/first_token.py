"""Only the first token is computed where a head reads nothing else: behind the last attention of a [CLS] model.

What comes after attention treats every token by itself. A `Gather` that takes the first token can therefore
stand before it: the last output projection and feed-forward block are then computed for one token of each
text, an eighth of all products in an encoder of six layers.
"""

from __future__ import annotations

from typing import Any

from multihot.export.onnx_nodes import GraphEditor, NodeIndex

__all__ = ["compute_first_token_only"]

_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Gelu", "Relu", "Tanh", "Sigmoid", "Erf", "Sqrt", "Pow")
_TOKEN_AXIS = 1
_RANK = 3  # texts, tokens, features


def compute_first_token_only(model: Any) -> None:
    """Move every `Gather` of the first token in front of what treats tokens by themselves.

    Parameters
    ----------
    model
        An `onnx.ModelProto`; changed where that is possible, left as it is elsewhere.
    """
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }
    graph = model.graph
    names = GraphEditor.of(graph)
    while (found := _movable(graph, ranks)) is not None:
        _move(graph, *found, names)


def _movable(graph: Any, ranks: dict[str, int]) -> tuple[Any, list[Any]] | None:
    """Return a node of whose tokens only the first is read, and what takes it."""
    index = NodeIndex.of(graph)
    for node in graph.node:
        if len(node.output) != 1 or node.output[0] in index.outputs:
            continue
        readers = index.consumers.get(node.output[0], [])
        takes = readers and all(_takes_first(each, node.output[0], index) for each in readers)
        if takes and _treats_tokens_alone(node, index, ranks):
            return node, readers
    return None


def _takes_first(node: Any, name: str, index: NodeIndex) -> bool:
    if node.op_type != "Gather" or node.domain or node.input[0] != name:
        return False
    place = index.array(node.input[1])
    axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
    return place is not None and place.shape == () and int(place) == 0 and axis == _TOKEN_AXIS


def _treats_tokens_alone(node: Any, index: NodeIndex, ranks: dict[str, int]) -> bool:
    """Return whether a token of the output depends on the same token of the inputs alone."""
    if node.domain or any(ranks.get(name) != _RANK for name in _read_values(node, index)):
        return False
    constants = [array for name in node.input if (array := index.array(name)) is not None]
    if node.op_type == "MatMul":
        return node.input[1] in index.constants and constants[0].ndim == _RANK - 1
    if node.op_type == "LayerNormalization":
        axis = next((each.i for each in node.attribute if each.name == "axis"), -1)
        return axis in (-1, _RANK - 1) and len(constants) == len(node.input) - 1
    return node.op_type in _ELEMENTWISE and all(array.ndim <= 1 for array in constants)


def _read_values(node: Any, index: NodeIndex) -> list[str]:
    return [name for name in dict.fromkeys(node.input) if name and name not in index.constants]


def _move(graph: Any, node: Any, readers: list[Any], names: GraphEditor) -> None:
    """Let a node read the first tokens of its inputs, so that its output is what was taken of it."""
    from onnx import helper

    index = NodeIndex.of(graph)
    result, place = readers[0].output[0], readers[0].input[1]
    others = {reader.output[0] for reader in readers[1:]}
    taken: dict[str, Any] = {}
    for name in _read_values(node, index):
        output = names.fresh(f"{name}_first")
        taken[name] = helper.make_node(
            "Gather", [name, place], [output], names.fresh(f"node_{output}"), axis=_TOKEN_AXIS
        )
    node.input[:] = [taken[name].output[0] if name in taken else name for name in node.input]
    node.output[0] = result
    kept: list[Any] = []
    for each in graph.node:
        if each in readers:
            continue
        if each == node:
            kept += taken.values()
        each.input[:] = [result if name in others else name for name in each.input]
        kept.append(each)
    del graph.node[:]
    graph.node.extend(kept)
