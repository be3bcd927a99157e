"""Forty-eight labelled sentences that `tiny_encoder` can learn in a second, as rows and as files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

LABELS = ("fear", "joy", "love")

_SIGNS = {
    ("fear",): ("scared of it", "so afraid"),
    ("joy",): ("happy today", "wonderful , good"),
    ("love",): ("love you", "in love"),
    ("joy", "love"): ("happy in love", "love , wonderful"),
    ("fear", "love"): ("scared but in love", "afraid of love"),
    (): ("it is all about the year", "we left again"),
}
_STARTS = ("i am", "you are", "today she is", "they are so")

TEXTS: list[str] = []
NAMES: list[list[str]] = []
for _start, (_names, _signs) in itertools.product(_STARTS, _SIGNS.items()):
    for _sign in _signs:
        TEXTS.append(f"{_start} {_sign} .")
        NAMES.append(list(_names))

QUICK = {
    "epochs": 25,
    "batch_size": 4,
    "learning_rate": 0.01,
    "pooling": "mean",
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "seed": 2,
    "initial_head": "random",
}
"""Options with which every sentence is learnt, in a second or two."""


def write_jsonl(path: Path, rows: slice = slice(None)) -> Path:
    """Write the sentences as JSON lines with `id`, `text` and `labels`."""
    numbered = list(enumerate(zip(TEXTS, NAMES, strict=True)))[rows]
    lines = [
        json.dumps({"id": f"e-{number}", "text": text, "labels": names})
        for number, (text, names) in numbered
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
