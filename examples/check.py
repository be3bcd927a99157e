"""Compare what a run has written with the expected result of its example.

    python examples/check.py examples/tickets runs/tickets

`expected.json` of an example lists figures: the file that holds one, the keys that lead to it, the value
that was measured and an interval. The command ends with 1 where a figure lies outside of its interval.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def check(example: Path, output: Path) -> tuple[list[str], bool]:
    """Return a line for each expected figure, and whether all lie in their intervals."""
    expected = json.loads((example / "expected.json").read_text("utf-8"))
    lines, all_within = [], True
    for figure in expected["figures"]:
        found: Any = json.loads((output / figure["file"]).read_text("utf-8"))
        for key in figure["keys"]:
            found = found[key]
        is_within = figure["low"] <= found <= figure["high"]
        all_within &= is_within
        verdict = "as expected" if is_within else "NOT as expected"
        lines.append(
            f"{figure['name']}: {found:.4g}; {verdict}: {figure['value']} "
            f"({figure['low']} to {figure['high']})"
        )
    return lines, all_within


if __name__ == "__main__":
    report, is_as_expected = check(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(report))
    sys.exit(0 if is_as_expected else 1)
