"""One idea, one file; one screen per function; the training step stands in one place."""

from __future__ import annotations

import ast

from contracts.sources import modules, parsed

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_STORY_LINES = 100

LONGER_FUNCTIONS = {
    "multihot.workflows.train.train": "the whole story of a run, one line for each part of it",
    "multihot.workflows.pretrain.pretrain": "the same for pretraining",
}
"""Dotted name and reason; at most one per package, where a whole story is told."""


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

    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    allowed = dict.fromkeys(LONGER_FUNCTIONS, MAX_STORY_LINES)
    sizes = _functions()

    assert {
        name: size for name, size in sizes.items() if size > allowed.get(name, MAX_FUNCTION_LINES)
    } == {}
    assert set(LONGER_FUNCTIONS) <= set(sizes)


def test_the_backward_pass_is_written_exactly_once() -> None:
    sources = {name: path.read_text("utf-8") for name, path in modules().items()}
    found = {name: text.count(".backward(") for name, text in sources.items()}

    assert {name: count for name, count in found.items() if count} == {"multihot.training.loop": 1}
