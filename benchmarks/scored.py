"""Logits and truth of a labelled file, scored once by a model and kept in a folder for the next run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import sha256_of
from multihot.data.labelled_file import labelled_chunks, open_labelled
from multihot.data.tokens import TokenizedTexts
from multihot.inference.predictor import Predictor

__all__ = ["Scored", "scored"]


@dataclass(frozen=True)
class Scored:
    """Rows of a file."""

    logits: npt.NDArray[np.float32]
    truth: npt.NDArray[np.float32]
    tokens: TokenizedTexts

    def __len__(self) -> int:
        return len(self.logits)


def scored(predictor: Predictor, file: str, cache: str | None = None) -> Scored:
    """Score a file; with `cache`, a folder, logits of the same weights and file are read from there."""
    examples = open_labelled(file, predictor.artifact.data, space=predictor.space)
    chunks = list(labelled_chunks(examples))
    truth = np.concatenate(
        [labels.hard().aligned_to(predictor.space).values for _, labels in chunks]
    )
    parts = [predictor.tokenized(chunk.texts) for chunk, _ in chunks]
    path = None if cache is None else Path(cache) / f"{_name(predictor, file)}.npy"
    if path is not None and path.is_file():
        logits: Any = np.load(path)
    else:
        logits = np.concatenate([predictor.logits_of(each) for each in parts])
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, logits)
    return Scored(logits, truth, TokenizedTexts.joined(parts))


def _name(predictor: Predictor, file: str) -> str:
    digests = sorted((predictor.artifact.digests or {}).items())
    return hashlib.sha256(f"{digests} {sha256_of(Path(file))}".encode()).hexdigest()[:24]
