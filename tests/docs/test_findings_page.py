"""The page on checkpoints of other tools lists every finding that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "en" / "how-to" / "import-a-model-you-already-have.md"


def _emitted() -> set[str]:
    """Return the texts in snake case that can be the code of a finding: of `Finding(...)` and `code = `."""
    package = ROOT / "src" / "multihot"
    found: set[str] = set()
    for path in [*(package / "importing").glob("*.py"), package / "workflows" / "doctor.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            values: list[ast.AST] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                values = list(node.args[:1])
            elif isinstance(node, ast.Assign) and re.match(
                r"\(?code\b", ast.unparse(node.targets[0])
            ):
                values = [node.value]
            texts = [each for value in values for each in ast.walk(value)]
            found |= {
                each.value
                for each in texts
                if isinstance(each, ast.Constant)
                if isinstance(each.value, str)
                and re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", each.value)
            }
    return found


def test_every_finding_is_on_the_page_and_no_other() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    listed = {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}

    assert len(listed) > 40
    assert listed == _emitted()
