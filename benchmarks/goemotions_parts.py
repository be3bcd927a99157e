"""The three parts of GoEmotions as JSON lines with label names, for `time_to_quality.py`.

python benchmarks/goemotions_parts.py DATA_FOLDER TARGET_FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from few_rows_data import GOEMOTIONS_PARTS, goemotions_rows, write_table


def main() -> None:
    """Write `goemotions-PART.jsonl` for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    given.target.mkdir(parents=True, exist_ok=True)
    for part in GOEMOTIONS_PARTS:
        rows = list(goemotions_rows(given.source, part))
        write_table(rows, given.target / f"goemotions-{part}.jsonl")


if __name__ == "__main__":
    main()
