"""The rows that every contender of a benchmark gets: the same file, in the same order.

Letters: `N` texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace
from multihot.data.labelled_file import read_examples
from multihot.demo import demo_data

__all__ = ["Rows", "add_data_arguments", "long_documents", "read_rows", "shuffled", "token_lengths"]

_LOG_NORMAL = (150.0, 0.7)  # median tokens and sigma of long documents


@dataclass(frozen=True)
class Rows:
    """Texts and the names of their labels.

    Attributes
    ----------
    name
        What the data is called in a results row.
    texts, labels
        *Shape:* N.
    space
        All label names in order.
    """

    name: str
    texts: list[str]
    labels: list[list[str]]
    space: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Rows:
        """Return the given rows in the given order."""
        return Rows(
            self.name, [self.texts[n] for n in rows], [self.labels[n] for n in rows], self.space
        )

    def write(self, path: Path) -> Path:
        """Write JSON lines that every contender reads; return the path."""
        with path.open("w", encoding="utf-8") as handle:
            for number, (text, labels) in enumerate(zip(self.texts, self.labels, strict=True)):
                row = {"id": str(number), "text": text, "labels": labels}
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")
        return path


def add_data_arguments(parser: object, *, validation: bool = True) -> None:
    """Add TRAIN and VALIDATION, by default the data in the package."""
    add = parser.add_argument  # type: ignore[attr-defined]
    data = demo_data()
    add("train", nargs="?", default=str(data["train"]), help="default: the data in the package")
    if validation:
        add("validation", nargs="?", default=str(data["validation"]))


def read_rows(path: str, space: tuple[str, ...] | None = None) -> Rows:
    """Read a labelled file; rows with an unknown label cell are left out, as rivals know none."""
    examples = read_examples(path, space=LabelSpace(space) if space else None)
    assert examples.labels is not None
    whole = np.flatnonzero(examples.labels.known.all(axis=1))
    names = examples.labels.take(whole).to_names()
    texts = [examples.texts[row] for row in whole]
    return Rows(Path(path).name, texts, names, examples.labels.space.names)


def shuffled(rows: Rows, least: int, seed: int) -> Rows:
    """Return the rows in a random order, again and again until there are at least `least`."""
    generator = np.random.default_rng(seed)
    times = max(1, -(-least // len(rows)))
    order = [generator.permutation(len(rows)) for _ in range(times)]
    return rows.take(np.concatenate(order).tolist())


def long_documents(rows: Rows, encoder: Path, num_documents: int, seed: int) -> Rows:
    """Return documents of log-normal length, made of the rows' texts one after the other.

    The median is 150 tokens; about one in twenty reaches 512, where models cut them. The labels of
    a document are those of its first text.
    """
    generator = np.random.default_rng(seed)
    lengths = token_lengths(rows.texts, encoder, 512) - 2  # special tokens come once
    median, sigma = _LOG_NORMAL
    wanted = np.minimum(510, generator.lognormal(np.log(median), sigma, num_documents))
    texts, labels = [], []
    for least in wanted:
        parts: list[int] = []
        total = 0
        while total < least:
            parts.append(int(generator.integers(len(rows))))
            total += max(1, int(lengths[parts[-1]]))
        texts.append(" ".join(rows.texts[part] for part in parts))
        labels.append(rows.labels[parts[0]])
    return Rows(f"{rows.name} made long", texts, labels, rows.space)


def token_lengths(texts: Sequence[str], encoder: Path, max_length: int) -> npt.NDArray[np.int64]:
    """Return the tokens of each text, special tokens included. *Shape:* (N,), int64."""
    from multihot.data.tokens import tokenize
    from multihot.models.encoder import load_encoder_tokenizer

    return tokenize(load_encoder_tokenizer(encoder)[0], texts, max_length).lengths
