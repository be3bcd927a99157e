"""Which part of a corpus only evaluation sees, decided by a hash of the text.

The same text falls on the same side in every file, order and run: nothing has to be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from multihot.data.corpus.documents import Corpus, Document, new_document

__all__ = ["HeldOutRule", "held_out_rule", "is_held_out", "split_document"]

_FEWEST_EXPECTED = 5  # documents set aside; below that the share is left to chance
_SECTION_CHARACTERS = 10_000
_RANGE = 2**64


@dataclass(frozen=True)
class HeldOutRule:
    """What is set aside.

    Attributes
    ----------
    seed
        Another seed sets other texts aside.
    threshold
        Set aside is what hashes below it; hashes have 64 bits.
    by_section
        Whether sections of documents are told apart instead of whole documents.
    """

    seed: int
    threshold: int
    by_section: bool

    def notes(self) -> list[str]:
        """Return what to tell the user."""
        if not self.by_section:
            return []
        return [
            "There are few documents, so sections of them are held out instead of whole documents: "
            "figures on them are those of texts whose other parts were trained on."
        ]


def is_held_out(document: Document, fraction: float, seed: int) -> bool:
    """Return whether a document belongs to the share `fraction` that is set aside."""
    return _hash(document, seed) < fraction * _RANGE


def held_out_rule(corpus: Corpus, fraction: float, seed: int) -> HeldOutRule:
    """Return the rule for a corpus; reads its first `5 / fraction` documents.

    Whole documents are set aside by their hash, each with probability `fraction`. Where fewer than
    five would be expected, the corpus is cut into sections of about 10 000 characters (at the ends
    of passages), and the nearest number of those with the smallest hashes is set aside: at least
    one, and of two documents where there are four or more, so that pairs across documents exist.
    """
    if fraction <= 0:
        return HeldOutRule(seed, 0, by_section=False)
    enough = int(_FEWEST_EXPECTED / fraction)
    documents = 0
    hashes: list[tuple[int, int]] = []
    for number, document in enumerate(islice(corpus.documents(), enough)):
        documents += 1
        hashes += [(_hash(section, seed), number) for section in _sections(document)]
    if documents == enough:
        return HeldOutRule(seed, int(fraction * _RANGE), by_section=False)
    hashes.sort()
    num_held_out = min(max(1, round(fraction * len(hashes))), len(hashes) - 1)
    while documents >= 4 and len({number for _, number in hashes[:num_held_out]}) < 2:
        num_held_out += 1
    threshold = hashes[num_held_out - 1][0] + 1 if num_held_out > 0 else 0
    return HeldOutRule(seed, threshold, by_section=True)


def split_document(document: Document, rule: HeldOutRule) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield runs of passages that follow each other, and whether each run is set aside."""
    if not rule.by_section:
        yield _hash(document, rule.seed) < rule.threshold, document.passages
        return
    sections = _sections(document)
    for aside, run in groupby(sections, key=lambda each: _hash(each, rule.seed) < rule.threshold):
        yield aside, tuple(passage for section in run for passage in section.passages)


def _hash(document: Document, seed: int) -> int:
    salted = hashlib.blake2b(document.digest, digest_size=8, key=str(seed).encode())
    return int.from_bytes(salted.digest(), "big")


def _sections(document: Document) -> list[Document]:
    found: list[Document] = []
    gathered: list[str] = []
    num_characters = 0
    for passage in document.passages:
        gathered.append(passage)
        num_characters += len(passage)
        if num_characters >= _SECTION_CHARACTERS:
            found.append(new_document(document.id, gathered))
            gathered, num_characters = [], 0
    return [*found, new_document(document.id, gathered)] if gathered else found
