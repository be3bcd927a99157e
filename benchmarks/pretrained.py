"""Put the report of a finished `multihot pretrain` into `results/`.

    python benchmarks/pretrained.py RUN COMMAND...

RUN is the encoder folder; COMMAND, the words that made it, stands in the row.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from provenance import append_row, provenance


def main() -> None:
    """Append one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("made_by", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    report = json.loads((given.run / "pretraining.json").read_text("utf-8"))
    row = {**_flat(report), **provenance(), "command": shlex.join(given.made_by)}
    print(append_row("pretrained_202611.csv", row))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Name nested figures by their path; lists are left out."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}_")
        elif not isinstance(value, list):
            found[prefix + name] = round(value, 5) if isinstance(value, float) else value
    return found


if __name__ == "__main__":
    main()
