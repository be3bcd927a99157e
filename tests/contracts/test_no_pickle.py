"""Nothing that is loaded can run code: no pickle in any of its forms, no eval, no foreign code."""

from __future__ import annotations

import ast

from contracts.sources import imported, parsed

FORBIDDEN_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "skops"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save", "torch.jit.load", "np.load"}


def test_no_module_imports_a_pickle() -> None:
    offenders = [
        f"{module}:{line} imports {name}"
        for module, tree in parsed().items()
        for name, line in imported(tree)
        if name.split(".")[0] in FORBIDDEN_MODULES
    ]

    assert offenders == []


def test_no_module_evaluates_or_unpickles() -> None:
    offenders = [
        f"{module}:{node.lineno} calls {ast.unparse(node.func)}"
        for module, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS
    ]

    assert offenders == []


def test_code_from_elsewhere_is_never_trusted() -> None:
    offenders = [
        f"{module}:{node.value.lineno}"
        for module, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "trust_remote_code"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]

    assert offenders == []
