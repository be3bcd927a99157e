"""One idea, one file; one screen per function; few doors; one training step."""

from __future__ import annotations

import ast
import tomllib

from contracts.sources import PACKAGE, ROOT, modules, parsed

MAX_LAYERS = 12
MAX_ROOT_MODULES = 8
MAX_MODULES = 420  # the last to come: reports and audits, then ranks, shards and long documents

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


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
    sizes = _functions()

    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}


def test_the_package_has_few_layers_and_few_modules() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in settings["contracts"] if each["type"] == "layers")

    assert len(layers) <= MAX_LAYERS
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_ROOT_MODULES
    assert len(modules()) <= MAX_MODULES


def test_the_backward_pass_is_written_exactly_once() -> None:
    sources = {name: path.read_text("utf-8") for name, path in modules().items()}
    found = {name: text.count(".backward(") for name, text in sources.items()}

    assert {name: count for name, count in found.items() if count} == {"multihot.training.loop": 1}
