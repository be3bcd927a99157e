"""The texts of GoEmotions alone, each once, for a teacher to speak about.

python benchmarks/goemotions_texts.py goemotions/train.tsv goemotions_texts.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples


def main() -> None:
    """Read the file without its labels and write a table of one column."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    data = DataOptions(header=False, quoting=True, text_column="1", id_column="3")
    texts = read_examples(given.source, data, labels="ignore").texts
    with given.target.open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(["text"])
        table.writerows([text] for text in dict.fromkeys(texts))


if __name__ == "__main__":
    main()
