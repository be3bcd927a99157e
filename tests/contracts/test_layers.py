"""Modules import only strictly lower layers, and every module has its place."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from contracts.sources import ROOT, modules, parsed


def _layers() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    return [str(line) for line in contract["layers"]]


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


def test_every_module_is_listed_in_one_layer() -> None:
    listed = [name for line in _layers() for name in re.findall(r"[\w.]+", line)]
    # A package is no module of its own; what its __init__ may hold is tested below.
    paths = {name: path for name, path in modules().items() if path.name != "__init__.py"}
    optional = set(re.findall(r"\(([\w.]+)\)", " ".join(_layers())))

    assert sorted(set(listed)) == sorted(listed), "listed twice"
    assert set(paths) - set(listed) == set(), "add these to [tool.importlinter] in pyproject.toml"
    assert set(listed) - set(paths) <= optional, "these do not exist"


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
