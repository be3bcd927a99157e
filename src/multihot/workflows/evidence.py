"""The training texts that a model holds for most alike to a text.

Letters: `N` texts that are asked about, `C` texts of a chunk, `K` nearest texts, `D` width of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks
from multihot.errors import OptionError
from multihot.inference.predictor import Predictor
from multihot.inference.vectors import text_vectors

__all__ = ["Evidence", "nearest_examples"]


@dataclass(frozen=True)
class Evidence:
    """One labelled text near to another."""

    id: str
    line: int
    """1-based line (or row) of its file."""
    text: str
    labels: tuple[str, ...]
    """Those that it is known to have."""
    similarity: float
    """Cosine of the two vectors, -1 to 1."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "id": self.id,
            "line": self.line,
            "text": self.text,
            "labels": list(self.labels),
            "similarity": round(self.similarity, 6),
        }


def nearest_examples(
    predictor: Predictor,
    texts: Sequence[str],
    examples: Examples | LabelledFile,
    *,
    count: int = 3,
    progress: Callable[[int], None] | None = None,
) -> list[list[Evidence]]:
    """Return the labelled texts that are nearest to each text, the nearest first.

    Nearness is the cosine of vectors of the trained encoder (`text_vectors`); of equals the earlier
    row comes first. All rows are compared in pieces, so memory stays constant.

    Parameters
    ----------
    predictor
        A model that torch runs.
    texts
        N texts.
    examples
        The labelled texts, such as those that the model was trained on.
    count
        K, how many are wanted, from 1.
    progress
        Receives the number of rows read so far, now and then.
    """
    if count < 1:
        raise OptionError(f"count is {count}; expected at least 1.")
    asked = text_vectors(predictor, texts, "Evidence")
    best: list[list[Evidence]] = [[] for _ in texts]
    num_read = 0
    for chunk, labels in labelled_chunks(examples):
        if len(texts):
            similar = asked @ text_vectors(predictor, chunk.texts, "Evidence").T  # (N, C)
            for number, row in enumerate(similar):
                rows = np.argsort(-row, kind="stable")[:count].tolist()
                found = [
                    Evidence(
                        chunk.ids[place],
                        chunk.lines[place],
                        chunk.texts[place],
                        tuple(_names(labels.values[place], labels.space.names)),
                        float(row[place]),
                    )
                    for place in rows
                ]
                merged = sorted([*best[number], *found], key=lambda one: -one.similarity)
                best[number] = merged[:count]
        num_read += len(chunk)
        if progress is not None:
            progress(num_read)
    return best


def _names(values: Any, names: Sequence[str]) -> list[str]:
    return [name for name, value in zip(names, values, strict=True) if value >= 0.5]
