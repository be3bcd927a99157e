"""The hold-out part of a corpus, which only evaluation sees, chosen by a hash of the text.

The same text is in the same part in every file, order and run: nothing has to be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from multihot.data.corpus.documents import Corpus, Document, new_document

__all__ = ["HoldoutRule", "holdout_rule", "split_document"]

_FEWEST_EXPECTED = 5  # hold-out documents; with fewer, the fraction would vary too much
_SECTION_CHARACTERS = 10_000
_RANGE = 2**64


@dataclass(frozen=True)
class HoldoutRule:
    """Which texts are held out.

    Attributes
    ----------
    seed
        Part of the hash.
    threshold
        Texts with a 64-bit hash below it are held out.
    by_section
        Whether sections of documents are held out instead of whole documents.
    """

    seed: int
    threshold: int
    by_section: bool

    def notes(self) -> list[str]:
        """Return notes for the user."""
        if not self.by_section:
            return []
        return [
            "There are few documents, so sections of them are held out instead of whole documents: "
            "metrics on them are optimistic, because other sections of the same documents are trained "
            "on."
        ]


def holdout_rule(corpus: Corpus, fraction: float, seed: int) -> HoldoutRule:
    """Return the rule for a corpus; reads its first `5 / fraction` documents.

    Whole documents are held out by their hash, each with probability `fraction`. Where fewer than
    five would be expected, the corpus is cut into sections of about 10 000 characters (at the ends
    of passages), and `fraction` of the sections, rounded, with the smallest hashes are held out: at
    least one, and of two documents where there are four or more, so that pairs across documents
    exist.
    """
    if fraction <= 0:
        return HoldoutRule(seed, 0, by_section=False)
    enough = int(_FEWEST_EXPECTED / fraction)
    documents = 0
    hashes: list[tuple[int, int]] = []
    for number, document in enumerate(islice(corpus.documents(), enough)):
        documents += 1
        hashes += [(_hash(section, seed), number) for section in _sections(document)]
    if documents == enough:
        return HoldoutRule(seed, int(fraction * _RANGE), by_section=False)
    hashes.sort()
    num_held_out = min(max(1, round(fraction * len(hashes))), len(hashes) - 1)
    while documents >= 4 and len({number for _, number in hashes[:num_held_out]}) < 2:
        num_held_out += 1
    threshold = hashes[num_held_out - 1][0] + 1 if num_held_out > 0 else 0
    return HoldoutRule(seed, threshold, by_section=True)


def split_document(document: Document, rule: HoldoutRule) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield runs of consecutive passages, and whether each run is held out."""
    if not rule.by_section:
        yield _hash(document, rule.seed) < rule.threshold, document.passages
        return
    sections = _sections(document)
    for held_out, run in groupby(
        sections, key=lambda each: _hash(each, rule.seed) < rule.threshold
    ):
        yield held_out, tuple(passage for section in run for passage in section.passages)


def _hash(document: Document, seed: int) -> int:
    salted = hashlib.blake2b(document.digest, digest_size=8, key=str(seed).encode())
    return int.from_bytes(salted.digest(), "big")


def _sections(document: Document) -> list[Document]:
    sections: list[Document] = []
    gathered: list[str] = []
    num_characters = 0
    for passage in document.passages:
        gathered.append(passage)
        num_characters += len(passage)
        if num_characters >= _SECTION_CHARACTERS:
            sections.append(new_document(document.id, gathered))
            gathered, num_characters = [], 0
    return [*sections, new_document(document.id, gathered)] if gathered else sections
