"""Nodes of attention that an exported graph has and a runtime does not need; results stay the same.

torch writes `scaled_dot_product_attention` so that a text without any token gets zeros, and turns
the keys around twice. No text is without tokens, and each step is a pass over memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from multihot.export.onnx_nodes import GraphEditor, NodeIndex

__all__ = ["simplify_attention", "value_layer"]

_HEADS_FIRST, _HEADS_BACK = [0, 2, 1, 3], [0, 2, 1, 3]
_MASKED = -1e30  # added to what a token must not see; finite, so that softmax never yields NaN


def simplify_attention(graph: Any) -> None:
    """Remove the test for NaN after softmax, and transpose keys once."""
    index = NodeIndex.of(graph)
    editor = GraphEditor.of(graph)
    masks = [node for node in graph.node if _is_mask(node, index)]
    removed: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [removed.get(name, name) for name in node.input]
        if masks and (kept := _tested_for_nan(node, index)):
            removed[node.output[0]] = kept
        elif source := _turned_twice(node, index):
            editor.add("Transpose", [source], node.output[0], perm=[0, 2, 3, 1])
        else:
            if node in masks:
                node.input[2] = editor.constant("masked", np.array(_MASKED, np.float32))
            editor.keep([node])
    editor.nodes = _reached(editor.nodes, {value.name for value in graph.output})
    editor.write(graph)


def _is_mask(node: Any, index: NodeIndex) -> bool:
    """Return whether it is `Where(seen, 0, very small)`."""
    if node.op_type != "Where":
        return False
    seen, unseen = index.array(node.input[1]), index.array(node.input[2])
    if seen is None or unseen is None or seen.size != 1 or unseen.size != 1:
        return False
    return bool(seen.item() == 0 and unseen.item() <= _MASKED)


def _tested_for_nan(node: Any, index: NodeIndex) -> str | None:
    """Return `p` of `Where(IsNaN(p), 0, p)` after a softmax."""
    if node.op_type != "Where":
        return None
    test, source = index.producers.get(node.input[0]), index.producers.get(node.input[2])
    zero = index.array(node.input[1])
    if test is None or source is None or zero is None or zero.size != 1 or zero.item() != 0:
        return None
    same = test.op_type == "IsNaN" and test.input[0] == node.input[2]
    return str(node.input[2]) if same and source.op_type == "Softmax" else None


def _turned_twice(node: Any, index: NodeIndex) -> str | None:
    """Return the (B, S, H, d) value of `Reshape(Transpose(Reshape(Transpose(value))))`.

    The reshapes join and part the first two axes, the second transposition swaps the last two.
    """
    last_swap = _only(node, "Reshape", index)
    joined = _only(last_swap, "Transpose", index)
    heads_first = _only(joined, "Reshape", index)
    if heads_first is None or heads_first.op_type != "Transpose":
        return None
    if _perm(last_swap) != [0, 2, 1] or _perm(heads_first) != _HEADS_FIRST:
        return None
    if not all(_shape_is_of(each, heads_first.output[0], index) for each in (joined, node)):
        return None
    return str(heads_first.input[0])


def _only(node: Any | None, kind: str, index: NodeIndex) -> Any | None:
    """Return the node that makes the first input of a node of this kind."""
    if node is None or node.op_type != kind:
        return None
    return index.producers.get(node.input[0])


def _perm(node: Any) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == "perm"), [])


def _shape_is_of(node: Any, value: str, index: NodeIndex) -> bool:
    """Return whether a reshape takes its sizes from the shape of a value, and one at most is free."""
    shape = index.producers.get(node.input[1])
    if shape is None or shape.op_type != "Concat":
        return False
    for name in shape.input:
        cut = index.producers.get(name)
        if cut is None:
            constant = index.array(name)
            if constant is None or constant.tolist() != [-1]:
                return False
            continue
        source = index.producers.get(cut.input[0])
        if cut.op_type != "Slice" or source is None or source.op_type != "Shape":
            return False
        if source.input[0] != value:
            return False
    return True


def _reached(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """Return the nodes that some output needs, in their order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def value_layer(context: str, index: NodeIndex) -> str | None:
    """Return the output of the linear layer whose channels are those of an attention's result.

    The context is a weighted sum over tokens, so each of its channels is one of the values'.
    """
    back = _only(index.producers.get(context), "Reshape", index)
    product = _only(back, "Transpose", index)
    if product is None or product.op_type != "MatMul" or _perm(back) != _HEADS_BACK:
        return None
    values = index.producers.get(product.input[1])
    split = _only(values, "Transpose", index)
    if split is None or split.op_type != "Reshape" or _perm(values) != _HEADS_FIRST:
        return None
    source = index.producers.get(split.input[0])
    weights = index.producers.get(product.input[0])
    if source is None or weights is None or values is None or back is None:
        return None
    if weights.op_type not in ("Softmax", "Where"):
        return None
    chain = [split.input[0], values.input[0], values.output[0], product.output[0], back.output[0]]
    if any(index.only_consumer(name) is None for name in chain):
        return None
    return str(split.input[0])
