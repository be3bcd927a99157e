"""One idea, one file; one screen per function; the training step stands in one place."""

from __future__ import annotations

import ast

from contracts.sources import modules, parsed

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

LONGER_FILES = {
    "multihot.data.array_store": "two stores of mapped arrays, to become one",
}
"""Dotted name and reason."""


def _functions() -> dict[str, int]:
    """Return the lines of every function and method, its docstring not counted."""
    sizes = {}
    for module, tree in parsed().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
            sizes[f"{module}.{node.name}"] = lines
    return sizes


def test_no_file_is_longer_than_400_lines() -> None:
    sizes = {name: path.read_text("utf-8").count("\n") for name, path in modules().items()}

    assert {
        name: size
        for name, size in sizes.items()
        if size > MAX_FILE_LINES and name not in LONGER_FILES
    } == {}


def test_no_function_is_longer_than_60_lines() -> None:
    sizes = _functions()

    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}


def test_the_backward_pass_is_written_exactly_once() -> None:
    sources = {name: path.read_text("utf-8") for name, path in modules().items()}
    found = {name: text.count(".backward(") for name, text in sources.items()}

    assert {name: count for name, count in found.items() if count} == {"multihot.training.loop": 1}
