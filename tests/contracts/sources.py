"""The files of the package, for tests that read them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "multihot"
FOLDERS = ("benchmarks", "docs", "findings", "recipes", "results", "src", "tests")


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name; packages under their own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed() -> dict[str, ast.Module]:
    """Return the syntax tree of every module by its dotted name."""
    return {name: ast.parse(path.read_text("utf-8")) for name, path in modules().items()}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every module that a tree imports anywhere, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def torch_may_be_imported(module: str) -> bool:
    """Return whether `module` is one of those that compute with torch."""
    parts = module.split(".")[1:]
    return parts[:1] in (["models"], ["training"]) or ".".join(parts) in (
        "inference.masked_lm",
        "export.folders",
        "export.folding",
        "export.graph",
        "export.openvino",
        "inference.torch_backend",
        "inference.trained_model",
        "workflows.pretrain",
        "workflows.train",
    )


def text_files() -> list[Path]:
    """Return the text files that git tracks or would track; those on disk where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names = sorted({name.decode() for name in listing.stdout.split(b"\0") if name})
        paths = [ROOT / name for name in names]
    else:
        folders = (ROOT / name for name in (".ci", ".github", *FOLDERS))
        paths = [*ROOT.glob("*"), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]
