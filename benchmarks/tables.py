"""Write results/README.md from the CSV files beside it: `python benchmarks/tables.py`."""

from __future__ import annotations

import csv
from pathlib import Path

from provenance import RESULTS

_INTRODUCTION = """# Results

Written by `benchmarks/tables.py` from the CSV files in this folder; every row there also names versions and date.

What these figures are not: file names with `screening` hold validation figures that chose settings, so they are optimistic; only `test_` columns compare with published results.
E-c's 95 % sampling error on its 3259 test rows is about 1.0 point of Jaccard, 0.8 of micro-F1 and 1.0 of macro-F1, so smaller differences between rows mean nothing by themselves.
Minutes were taken on shared machines, some beside other work: they say what to expect, not which is faster.
"""
_BELOW_THE_TABLE = ("command", "commit", "hardware", "versions")


def main() -> None:
    """Write the page."""
    parts = [_INTRODUCTION]
    for path in sorted(RESULTS.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        parts.append(_section(path, rows))
    (RESULTS / "README.md").write_text("\n".join(parts), encoding="utf-8")


def _section(path: Path, rows: list[dict[str, str]]) -> str:
    columns = [
        name for name in rows[0] if name not in _BELOW_THE_TABLE and any(row[name] for row in rows)
    ]
    lines = [f"## {path.name}", "", _line(columns), _line(["---"] * len(columns))]
    lines += [_line([row[name].replace("|", "\\|") for name in columns]) for row in rows]
    lines += ["", "Measured with:", ""]
    origins = dict.fromkeys(
        f"- `{row['command']}` at {row['commit']} on {row['hardware']}" for row in rows
    )
    return "\n".join([*lines, *origins, ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
