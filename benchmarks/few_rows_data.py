"""Labelled sets with few rows, cut from public data or built with many labels; all of them seeded.

Built sets take passages of some 90 words from books. The labels of a passage are the words that are
characteristic of its *surroundings* (the passage and what stands before and after it), and the book's
author and half-century: a label may or may not be a word of the text, as with subject headings that
people assign.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GOEMOTIONS_PARTS", "NAMES", "Cut", "goemotions_rows", "load_cut", "write_table"]

Row = tuple[str, tuple[str, ...]]

NUM_TEST = 2000
GOEMOTIONS_PARTS = ("train", "dev", "test")
_WORD = re.compile(r"[a-z]{4,}")
_PASSAGE_WORDS = 90
_PASSAGES_PER_BOOK = 60
_LEAST_REPEATS = 3  # times that a word stands in the surroundings it is a label of
_MOST_FREQUENT = 0.06  # of all surroundings; more frequent words say nothing
_MOST_LABELS = 8
_FEWEST_ROWS = 3  # of a label in the whole pool


@dataclass(frozen=True)
class Cut:
    """A few labelled rows, and many to measure on."""

    name: str
    train: list[Row]
    validation: list[Row]
    test: list[Row]

    @property
    def labels(self) -> list[str]:
        """All labels of the training rows, sorted."""
        return sorted({label for _, labels in self.train for label in labels})


def load_cut(name: str, folder: Path, seed: int) -> Cut:
    """Return the cut called `SET-ROWS`, such as `goemotions-1000` or `books300-3000`.

    A tenth of the rows is for validation. `booksL` has about L labels.
    """
    kind, _, rows = name.partition("-")
    num_rows = int(rows)
    number = re.search(r"\d+$", kind)
    if number:
        pool = _built(folder / "books_en" / "books_pre1929.jsonl.gz", int(number[0]))
    else:
        pool = _READERS[kind](folder)
    chosen = random.Random(f"{name} {seed}")
    chosen.shuffle(pool)
    test, rest = pool[:NUM_TEST], pool[NUM_TEST:]
    if len(rest) < num_rows:
        raise SystemExit(f"{name}: only {len(rest)} rows beside the test rows.")
    few = rest[:num_rows]
    num_validation = max(1, num_rows // 10)
    return Cut(name, few[num_validation:], few[:num_validation], test)


def write_table(rows: Sequence[Row], path: Path) -> Path:
    """Write rows as JSON lines that `multihot train` reads."""
    with path.open("w", encoding="utf-8") as handle:
        for text, labels in rows:
            handle.write(json.dumps({"text": text, "labels": list(labels)}, ensure_ascii=False))
            handle.write("\n")
    return path


def goemotions_rows(folder: Path, part: str) -> Iterator[Row]:
    """Yield the rows of one of `GOEMOTIONS_PARTS`, whose labels are named in a file beside them."""
    names = (folder / "goemotions" / "labels.txt").read_text("utf-8").split("\n")
    for line in (folder / "goemotions" / f"{part}.tsv").read_text("utf-8").splitlines():
        text, indices, _ = line.split("\t")
        yield text, tuple(names[int(index)] for index in indices.split(","))


def _goemotions(folder: Path) -> list[Row]:
    rows: dict[str, tuple[str, ...]] = {}
    for part in GOEMOTIONS_PARTS:
        rows.update(goemotions_rows(folder, part))
    return list(rows.items())


def _cars(folder: Path) -> list[Row]:
    merged: dict[str, tuple[str, set[str]]] = {}
    path = folder / "bdci2018_car_zh" / "train.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            merged.setdefault(row["content_id"], (row["content"], set()))[1].add(row["subject"])
    return [(text, tuple(sorted(subjects))) for text, subjects in merged.values()]


def _emotions(folder: Path) -> list[Row]:
    rows = {}
    for path in sorted((folder / "semeval2018_ec_en").glob("*.txt")):
        head, *lines = path.read_text("utf-8").splitlines()
        names = head.split("\t")[2:]
        for line in lines:
            _, text, *cells = line.split("\t")
            rows[text] = tuple(n for n, cell in zip(names, cells, strict=True) if cell == "1")
    return list(rows.items())


_READERS: dict[str, Callable[[Path], list[Row]]] = {
    "goemotions": _goemotions,
    "cars": _cars,
    "emotions": _emotions,
}
NAMES = (*_READERS, "booksL")
"""Sets that can be cut; for `booksL`, L is a number of labels."""


def _built(path: Path, num_labels: int) -> list[Row]:
    """Return passages with about `num_labels` labels, whose frequencies fall as Zipf's law says."""
    passages = list(_passages(path))
    spread: Counter[str] = Counter()
    for _, around, _ in passages:
        spread.update(set(around))
    most = _MOST_FREQUENT * len(passages)
    found: list[tuple[str, list[str]]] = []
    totals: Counter[str] = Counter()
    for text, around, about in passages:
        counts = Counter(word for word in around if spread[word] <= most)
        marked = sorted(
            (word for word, count in counts.items() if count >= _LEAST_REPEATS),
            key=lambda word: (-counts[word] / spread[word] ** 0.5, word),
        )
        labels = [*about, *marked[:_MOST_LABELS]]
        totals.update(labels)
        found.append((text, labels))
    kept = {name for name, count in totals.most_common(num_labels) if count >= _FEWEST_ROWS}
    rows = [(text, tuple(dict.fromkeys(n for n in names if n in kept))) for text, names in found]
    return [row for row in rows if row[1]]


def _passages(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each passage, the words of its surroundings, and what is known of the book."""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            book = json.loads(line)
            words = " ".join(p for p in book["paragraphs"] if not p.startswith("#")).split()
            about = [f"{book['year'] // 50 * 50}s", book["id"].partition("/")[0]]
            step = max(_PASSAGE_WORDS * 3, len(words) // _PASSAGES_PER_BOOK)
            for start in range(_PASSAGE_WORDS, len(words) - 2 * _PASSAGE_WORDS, step):
                text = " ".join(words[start : start + _PASSAGE_WORDS])
                around = " ".join(words[start - _PASSAGE_WORDS : start + 2 * _PASSAGE_WORDS])
                yield text, _WORD.findall(around.lower()), about
