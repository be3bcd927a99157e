"""Read a corpus of documents as a stream: plain text and JSON lines, compressed or not.

A *document* is a text whose passages follow from each other; passages of different documents do not.
The *hold-out part* of a corpus, which only evaluation sees, is chosen by a hash of the text, so that the
same text is in the same part in every file, order and run: nothing has to be stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from multihot.core.files import sha256_of
from multihot.core.text_tables import counted
from multihot.data.corpus.files import CorpusFile, read_pieces
from multihot.data.readers.compression import SUFFIXES, compression_of
from multihot.data.readers.text_encoding import declared_encoding, detect_encoding
from multihot.errors import DataError, OptionError

__all__ = [
    "Corpus",
    "Document",
    "DocumentCounts",
    "HoldoutRule",
    "holdout_rule",
    "new_document",
    "read_corpus",
    "split_document",
]

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TEXT_SUFFIXES = (".txt", ".text")
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+")
_FEWEST_EXPECTED = 5  # hold-out documents; with fewer, the fraction would vary too much
_SECTION_CHARACTERS = 10_000
_RANGE = 2**64


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes
    ----------
    id
        The `id` in the file, else the file's name and the number of the first line.
    passages
        Paragraphs or lines as written, without blank ones.
    digest
        16 bytes of a hash of the case-folded words: equal for duplicates, and on every machine.
    """

    id: str
    passages: tuple[str, ...]
    digest: bytes


@dataclass
class DocumentCounts:
    """Documents by what became of them; filled by `Corpus.documents`."""

    documents: int = 0
    near_empty: int = 0
    duplicates: int = 0
    wrapped: int = 0

    def notes(self, minimum_words: int) -> list[str]:
        """Return notes for the user."""
        notes = [f"{counted(self.documents, 'document')}."]
        if self.near_empty:
            notes.append(
                f"Skipped {counted(self.near_empty, 'document')} of fewer than {minimum_words} words."
            )
        if self.duplicates:
            notes.append(f"Skipped {counted(self.duplicates, 'duplicate')} of earlier documents.")
        if self.wrapped:
            notes.append(
                f"Joined the lines of {counted(self.wrapped, 'document')} wrapped at a fixed width."
            )
        return notes


@dataclass(frozen=True)
class Corpus:
    """Files of documents; every call of `documents` reads them from the beginning."""

    files: tuple[CorpusFile, ...]
    minimum_words: int
    notes: tuple[str, ...]
    """What was detected, for the user."""

    def documents(self, counts: DocumentCounts | None = None) -> Iterator[Document]:
        """Yield the documents; near-empty ones and duplicates are skipped and counted.

        Memory holds the longest document and a set of 64-bit digests, one for each document: 70 to 100
        bytes each, or about 1 GB for ten million documents.
        """
        counts = counts if counts is not None else DocumentCounts()
        seen: set[int] = set()
        for file in self.files:
            for name, passages, wrapped in read_pieces(file):
                if not _has_words(passages, self.minimum_words):
                    counts.near_empty += 1
                    continue
                document = new_document(name, passages)
                digest = int.from_bytes(document.digest[:8], "big")
                if digest in seen:
                    counts.duplicates += 1
                    continue
                seen.add(digest)
                counts.documents += 1
                counts.wrapped += wrapped
                yield document

    def fingerprint(self) -> str:
        """Return 64 hex digits that change with the content of any file and with the options."""
        whole = hashlib.sha256(f"{self.minimum_words}".encode())
        for file in self.files:
            whole.update(f" {sha256_of(file.path)} {file.is_json} {file.encoding}".encode())
        return whole.hexdigest()


def new_document(name: str, passages: Sequence[str]) -> Document:
    """Return a document with the digest of its words."""
    digest = hashlib.blake2b(digest_size=16)
    for passage in passages:
        digest.update(" ".join(("", *passage.casefold().split())).encode())
    return Document(name, tuple(passages), digest.digest())


def read_corpus(
    paths: Sequence[str | Path], *, minimum_words: int = 5, encoding: str | None = None
) -> Corpus:
    """Open files of documents, and folders of them; the documents themselves are read later.

    Plain text has a blank line between documents. JSON lines have one document per line, in the key
    `text` (a string, whose lines are the passages) or `paragraphs` (a list of strings), and
    optionally an `id`. Both may be compressed with gzip or Zstandard.

    Parameters
    ----------
    paths
        Files, and folders whose files ending in .txt, .text, .jsonl, .ndjson or .json (optionally
        followed by .gz, .zst or .zstd) are read in the order of their names.
    minimum_words
        Documents of fewer words (a Chinese character counts as one) are near-empty.
    encoding
        Of all files; by default detected, and UTF-8 in compressed files.

    Raises
    ------
    DataError
        A file does not exist or is damaged; for the content of a line, when it is reached.
    OptionError
        There are no files, or the encoding is unknown.
    """
    notes: list[str] = []
    all_paths = [file for path in paths for file in _files(Path(path), notes)]
    if not all_paths:
        raise OptionError("There is no file to read: give at least one file or folder of texts.")
    files = [_corpus_file(path, encoding, notes) for path in dict.fromkeys(all_paths)]
    kinds = [f"{sum(file.is_json for file in files)} of JSON lines"]
    kinds.append(f"{sum(not file.is_json for file in files)} of plain text")
    shown = " and ".join(kind for kind in kinds if not kind.startswith("0 "))
    notes.insert(0, f"Corpus: {len(files)} file{'s' * (len(files) > 1)}, {shown}.")
    return Corpus(tuple(files), minimum_words, tuple(notes))


def _files(path: Path, notes: list[str]) -> list[Path]:
    if not path.exists():
        raise DataError("There is no such file or folder.", path=path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError("This is a pipe or a device; expected a file or a folder.", path=path)
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    known = [each for each in inside if _bare_suffix(each) in (*_JSON_SUFFIXES, *_TEXT_SUFFIXES)]
    if not known:
        raise DataError(
            "The folder contains no .txt or .jsonl file (compressed or not).", path=path
        )
    if len(known) < len(inside):
        notes.append(
            f"{path}: {counted(len(inside) - len(known), 'file')} with other extensions ignored."
        )
    return known


def _bare_suffix(path: Path) -> str:
    """Return the extension of a file name in lower case, without that of a compression."""
    compressed = path.suffix.lower() in [suffix for each in SUFFIXES.values() for suffix in each]
    return (Path(path.stem) if compressed else path).suffix.lower()


def _corpus_file(path: Path, encoding: str | None, notes: list[str]) -> CorpusFile:
    compression = compression_of(path)
    if encoding is not None:
        name = declared_encoding(encoding)
    elif compression is None:
        detected = detect_encoding(path)
        name = detected.name
        if detected.note:
            notes.append(f"{path}: {detected.note}")
    else:
        name = "utf-8-sig"
    return CorpusFile(path, _bare_suffix(path) in _JSON_SUFFIXES, compression, name)


def _has_words(passages: Sequence[str], minimum: int) -> bool:
    num_words = 0
    for passage in passages:
        for _ in _WORD.finditer(passage):
            num_words += 1
            if num_words >= minimum:
                return True
    return minimum <= 0


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
