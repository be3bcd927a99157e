"""Classes are composed, not derived from each other: be abstract or final."""

from __future__ import annotations

import ast

from contracts.sources import parsed

# Meant to be derived from: the one hook through which a run talks to its caller.
EXTENSION_POINTS = {"Listener"}


def _last_name(node: ast.expr) -> str:
    """Return `Module` for `nn.Module` and `Generic` for `Generic[T]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def test_no_class_has_a_concrete_parent_of_ours() -> None:
    classes = {
        f"{module}.{node.name}": node
        for module, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    ours = {name.rpartition(".")[2]: node for name, node in classes.items()}
    protocols = {
        name for name, node in ours.items() if "Protocol" in {_last_name(b) for b in node.bases}
    }
    errors = {name.rpartition(".")[2] for name in classes if name.startswith("multihot.errors.")}
    offenders = [
        f"{name}({parent})"
        for name, node in classes.items()
        for parent in map(_last_name, node.bases)
        if parent in ours and parent not in protocols | errors | EXTENSION_POINTS
    ]

    assert offenders == []
