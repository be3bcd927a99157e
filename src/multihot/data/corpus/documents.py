"""Read a corpus of documents as a stream: plain text and JSON lines, packed or not.

A *document* is what its author wrote as one: the next passage of it follows from the one before,
and a passage of another document does not.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multihot.core.files import sha256_of
from multihot.data.corpus.files import CorpusFile, read_pieces
from multihot.data.readers.compression import SUFFIXES, compression_of
from multihot.data.readers.text_encoding import declared_encoding, detect_encoding
from multihot.errors import DataError, OptionError

__all__ = ["Corpus", "DigestSet", "Document", "Tally", "new_document", "read_corpus"]

_FULLEST = 2 / 3  # of the places taken before the table doubles


class DigestSet:
    """Open addressing with linear probing; digests are uniform already, so they are their hash."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 10))
        self._mask = len(self._table) - 1
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, digest: bytes) -> bool:
        """Add the first 8 bytes of `digest`; return whether they were not there before."""
        value = int.from_bytes(digest[:8], "big") or 1  # 0 marks a free place
        if not _insert(self._table, self._mask, value):
            return False
        self._size += 1
        if self._size > _FULLEST * len(self._table):
            self._double()
        return True

    def _double(self) -> None:
        former = self._table
        self._table = array("Q", bytes(16 * len(former)))
        self._mask = len(self._table) - 1
        for value in former:
            if value:
                _insert(self._table, self._mask, value)


def _insert(table: array[int], mask: int, value: int) -> bool:
    place = value & mask
    while table[place]:
        if table[place] == value:
            return False
        place = (place + 1) & mask
    table[place] = value
    return True


_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TEXT_SUFFIXES = (".txt", ".text")
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes
    ----------
    id
        From the file, else the file's name and the number of its first line.
    passages
        Paragraphs or lines as written, without blank ones.
    digest
        16 bytes from the words, case folded: equal for copies, and the same on every machine.
    """

    id: str
    passages: tuple[str, ...]
    digest: bytes


@dataclass
class Tally:
    """What was met while reading; filled by `Corpus.documents`."""

    documents: int = 0
    near_empty: int = 0
    duplicates: int = 0
    wrapped: int = 0

    def notes(self, minimum_words: int) -> list[str]:
        """Return what to tell the user."""
        found = [f"{self.documents} documents."]
        if self.near_empty:
            found.append(
                f"{self.near_empty} documents of fewer than {minimum_words} words were left out."
            )
        if self.duplicates:
            found.append(
                f"{self.duplicates} documents repeat the words of an earlier one; they were left out."
            )
        if self.wrapped:
            found.append(
                f"The lines of {self.wrapped} documents are wrapped at a fixed width; they were "
                "joined again."
            )
        return found


@dataclass(frozen=True)
class Corpus:
    """Files of documents; reading starts anew with each call of `documents`."""

    files: tuple[CorpusFile, ...]
    minimum_words: int
    notes: tuple[str, ...]
    """What was recognised, for the user."""

    def documents(self, tally: Tally | None = None) -> Iterator[Document]:
        """Yield the documents, near-empty ones and copies of earlier ones left out and counted.

        Memory stays constant but for the longest document and 12 to 24 bytes for each document.
        """
        tally = tally if tally is not None else Tally()
        seen = DigestSet()
        for file in self.files:
            for name, passages, wrapped in read_pieces(file):
                if not _has_words(passages, self.minimum_words):
                    tally.near_empty += 1
                    continue
                document = new_document(name, passages)
                if not seen.add(document.digest):
                    tally.duplicates += 1
                    continue
                tally.documents += 1
                tally.wrapped += wrapped
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

    Plain text has a blank line between documents. JSON lines have one document a line, in the key
    `text` (a string, whose lines are the passages) or `paragraphs` (a list of strings), and
    perhaps an `id`. Both may be packed with gzip or Zstandard.

    Parameters
    ----------
    paths
        Files, and folders whose files ending in .txt, .text, .jsonl, .ndjson or .json (and .gz,
        .zst, .zstd behind) are read in the order of their names.
    minimum_words
        Documents of fewer words (a Chinese character is one) are near-empty.
    encoding
        Of all files; by default detected, and UTF-8 in packed files.

    Raises
    ------
    DataError
        A file does not exist or is damaged; for what stands in a line, when it is reached.
    OptionError
        There are no files, or the encoding is none.
    """
    notes: list[str] = []
    found = [file for path in paths for file in _files(Path(path), notes)]
    if not found:
        raise OptionError("There is no file to read: give at least one file or folder of texts.")
    files = [_recognised(path, encoding, notes) for path in dict.fromkeys(found)]
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
        raise DataError("This is a pipe or a device; a file or a folder is expected.", path=path)
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    known = [each for each in inside if _bare_suffix(each) in (*_JSON_SUFFIXES, *_TEXT_SUFFIXES)]
    if not known:
        raise DataError("The folder holds no .txt or .jsonl file (packed or not).", path=path)
    if len(known) < len(inside):
        notes.append(f"{path}: {len(inside) - len(known)} files with other endings are not read.")
    return known


def _bare_suffix(path: Path) -> str:
    """Return the ending of a file name in small letters, that of a compression left aside."""
    packed = path.suffix.lower() in [suffix for each in SUFFIXES.values() for suffix in each]
    return (Path(path.stem) if packed else path).suffix.lower()


def _recognised(path: Path, encoding: str | None, notes: list[str]) -> CorpusFile:
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
