"""The pages that show where things are name what exists: all packages, all layers, no other path."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "multihot"
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def _missing(text: str, pattern: str) -> list[str]:
    """Return the paths between backticks that are below neither the repository nor the package."""
    return [
        name
        for name in re.findall(rf"`((?:\w+/)*{pattern})`", text)
        if not any((folder / name).exists() for folder in (ROOT, PACKAGE))
    ]


def test_the_tree_of_the_readme_names_every_package() -> None:
    tree = re.search(r"```text\nsrc/multihot/\n(.*?)```", README, re.DOTALL)
    assert tree is not None
    named: set[str] = set()
    above = ""
    for indent, name in re.findall(r"^( *)(\w+)/ ", tree[1], re.MULTILINE):
        above = name if len(indent) == 2 else above
        named.add(name if len(indent) <= 2 else f"{above}/{name}")

    packages = {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("*/__init__.py")}
    assert (
        packages | {"recipes", "benchmarks", "results", "examples", "findings", "docs", "tests"}
        == named
    )


def test_contributing_shows_the_layers_that_are_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    enforced = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")

    picture = re.search(r"```\n(__main__ .*?)```", CONTRIBUTING, re.DOTALL)
    assert picture is not None
    assert [re.split(r" {3,}", line)[0] for line in picture[1].splitlines()] == enforced


def test_every_folder_that_contributing_names_exists() -> None:
    assert _missing(CONTRIBUTING, r"\w+/") == []


def test_every_python_file_that_a_page_names_exists() -> None:
    missing = {
        str(page.relative_to(ROOT)): names
        for page in PAGES
        if (names := _missing(page.read_text("utf-8"), r"\w+\.py"))
    }

    assert missing == {}
