"""Documents whose sentences share a topic, in the words of `tiny_encoder`; small enough for a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from conftest import TINY_WORDS

_WORDS = [word for word in TINY_WORDS if word.isalpha() and len(word) > 1]

QUICK: dict[str, Any] = {
    "encoder_size": "1x64",
    "max_length": 32,
    "batch_size": 8,
    "total_steps": 12,
    "checkpoint_steps": 4,
    "evaluation_steps": 6,
    "learning_rate": 3e-3,
    "held_out_fraction": 0.25,
    "held_out_rows": 16,
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
}
"""Options of a run of a second; add a tokenizer, or one is trained."""


def write_corpus(path: Path, num_documents: int = 40, seed: int = 0) -> Path:
    """Write JSON lines of documents of twelve sentences."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(num_documents):
        topic = generator.choice(_WORDS, size=8, replace=False)
        paragraphs = [
            " ".join(
                " ".join(generator.choice(topic, size=int(generator.integers(4, 9)))).capitalize()
                + "."
                for _ in range(4)
            )
            for _ in range(3)
        ]
        lines.append(json.dumps({"id": f"d-{number}", "paragraphs": paragraphs}))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
