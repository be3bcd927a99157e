"""A model that is small but whole, and rows for it: for benchmarks in which the network is no matter."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multihot.data.labelled_file import read_examples
from multihot.demo import demo_data

__all__ = [
    "command",
    "environment",
    "write_encoder",
    "write_model",
    "write_rows",
    "write_zipf_rows",
]

_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_TRAINING_ROWS = 500


def write_zipf_rows(path: Path, num_rows: int, num_labels: int, *, covers: bool) -> Path:
    """Write such rows with frequencies after Zipf: the k-th label is drawn in proportion to 1 / k.

    With `covers` every row has some labels beside these, so that all of them occur.
    """
    sentences = read_examples(demo_data()["train"], labels="ignore").texts
    names = [f"label-{number:06}" for number in range(num_labels)]
    generator = np.random.default_rng(0 if covers else 1)
    reached = np.cumsum(1 / np.arange(1, num_labels + 1))
    each = -(-num_labels // num_rows) if covers else 0
    with path.open("w", encoding="utf-8") as handle:
        for row in range(num_rows):
            first, second = generator.integers(len(sentences), size=2)
            drawn = np.searchsorted(reached, generator.random(1 + row % 4) * reached[-1])
            has = np.unique([*drawn, *range(row * each, min(num_labels, (row + 1) * each))])
            labels = [names[int(number)] for number in has]
            text = f"@user{row} {sentences[first]} {sentences[second]}"
            handle.write(json.dumps({"id": row, "text": text, "labels": labels}) + "\n")
    return path


def write_rows(path: Path, num_rows: int, num_labels: int) -> Path:
    """Write rows of two demo sentences, a name that is never the same, and up to four labels."""
    sentences = read_examples(demo_data()["train"], labels="ignore").texts
    names = [f"label-{number:03}" for number in range(num_labels)]
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle)
        if path.suffix == ".csv":
            table.writerow(["id", "text", *names])
        for row in range(num_rows):
            first, second = generator.integers(len(sentences), size=2)
            text = f"@user{row} {sentences[first]} {sentences[second]}"
            has = np.unique(generator.integers(num_labels, size=row % 5))
            if row < num_labels:
                has = np.array([row])  # every label occurs, also in the training file
            if path.suffix == ".csv":
                cells = np.zeros(num_labels, dtype=np.int64)
                cells[has] = 1
                table.writerow([row, text, *cells.tolist()])
            else:
                labels = [names[number] for number in has]
                handle.write(json.dumps({"id": row, "text": text, "labels": labels}) + "\n")
    return path


def write_encoder(folder: Path, hidden: int = 32) -> Path:
    """Write a random BERT of one layer that knows all words of the demo data and every character."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    text = " ".join(read_examples(demo_data()["train"], labels="ignore").texts).lower()
    words = sorted({word for word in text.split() if word.isalpha()})
    letters = sorted({letter for letter in text + "0123456789@" if not letter.isspace()})
    pieces = [*letters, *(f"##{letter}" for letter in letters), *words]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names = dict.fromkeys([*special, *pieces])
    vocabulary = {name: number for number, name in enumerate(names)}
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder


def environment() -> dict[str, str]:
    """Return the environment of a measured process: one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def command(words: Sequence[str], before: str = "") -> list[str]:
    """Return `multihot` with these words as this interpreter starts it, after some statements `before`."""
    return [sys.executable, "-c", before + _START, *words]


def write_model(scratch: Path, num_labels: int, form: str = "jsonl") -> Path:
    """Train the tiny model for one epoch, so that the folder has all that a user's has."""
    train = write_rows(scratch / f"train.{form}", _TRAINING_ROWS, num_labels)
    encoder = write_encoder(scratch / "encoder")
    options = ["epochs=1", "device=cpu", "threads=1", "batch_size=50"]
    words = ["train", str(train), "--encoder", str(encoder), "--output", str(scratch / "model")]
    done = subprocess.run(
        command([*words, *options]),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return scratch / "model"
