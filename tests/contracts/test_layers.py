"""Modules import only strictly lower layers, and every module has its place."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from contracts.sources import ROOT, modules, parsed


def test_imports_go_downwards_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--no-logo", "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


def test_package_files_hold_nothing_but_their_docstring() -> None:
    paths, trees = modules(), parsed()
    with_code = {
        name
        for name, path in paths.items()
        if path.name == "__init__.py"
        and not all(
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for node in trees[name].body
        )
    }

    # The public names, and the entry point of the command line.
    assert with_code == {"multihot", "multihot.cli"}


def test_no_module_imports_the_package_itself() -> None:
    offenders = [
        f"{name}:{node.lineno}"
        for name, tree in parsed().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and (node.level or node.module == "multihot"))
        or (isinstance(node, ast.Import) and any(a.name == "multihot" for a in node.names))
    ]

    assert offenders == []
