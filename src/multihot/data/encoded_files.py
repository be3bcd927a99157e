"""Labelled rows to tokens, label codes and hashes: in memory, or through the cache for large files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multihot.config import to_plain
from multihot.data.label_cells import label_codes
from multihot.data.labelled_file import LabelledFile
from multihot.data.labelling import KNOWN_LABELS
from multihot.data.records import Examples
from multihot.data.token_cache import (
    EncodedRows,
    cache_folder,
    entry_of,
    find_rows,
    hold_rows,
    store_rows,
)
from multihot.data.tokens import tokenize
from multihot.decision.fitted_rows import row_hashes
from multihot.errors import DataError, StorageError
from multihot.files import sha256_of
from multihot.labels import LabelSpace

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SMALL_FILE_BYTES", "encode_file", "encode_texts"]

SMALL_FILE_BYTES = 16 * 2**20
"""Files below are tokenised anew by every run, in seconds, and held in memory."""

_CHUNK_ROWS = 1024


def encode_texts(
    examples: Examples, space: LabelSpace, tokenizer: Tokenizer, max_length: int
) -> EncodedRows:
    """Match the labels to `space` by name and tokenise the texts, in memory."""
    if examples.labels is None:
        raise DataError("has no labels.", path=examples.source)
    labels = examples.labels.aligned_to(space)
    return EncodedRows(
        tokenize(tokenizer, examples.texts, max_length),
        label_codes(labels.values),
        row_hashes(examples.texts, labels),
        np.array(examples.lines, dtype=np.int64),
    )


def encode_file(
    file: LabelledFile,
    space: LabelSpace,
    tokenizer: Tokenizer,
    max_length: int,
    say: Callable[[str], None],
) -> EncodedRows:
    """Return the rows of a file, which is read in pieces.

    The cache is used for files of 16 MB or more: their rows are tokenised once into mapped files,
    which every later run with the same file, reading options, labels, tokenizer and `max_length`
    opens again. Otherwise, and where the cache is off or cannot be written, tokens and labels (not
    texts) are held in memory.
    """

    def chunks() -> Iterator[EncodedRows]:
        for part in file.chunks(_CHUNK_ROWS):
            yield encode_texts(part, space, tokenizer, max_length)

    path, folder = Path(file.source), cache_folder()
    if folder is None or not path.is_file() or path.stat().st_size < SMALL_FILE_BYTES:
        return hold_rows(chunks())
    before = _state(path)
    key = _key(file, space, tokenizer, max_length)
    entry = entry_of(folder, key)
    if (known := find_rows(folder, key)) is not None:
        say(f"The tokens of {file.source} were made before: {entry}.")
        return known
    say(
        f"Tokenising {file.source} once, into {entry}. MULTIHOT_CACHE names another folder, or "
        "is off."
    )
    try:
        rows = store_rows(folder, key, _unchanged(chunks(), path, before))
    except StorageError as error:
        say(f"{error} Until then the tokens are held in memory.")
        return hold_rows(chunks())
    return rows


def _key(file: LabelledFile, space: LabelSpace, tokenizer: Tokenizer, max_length: int) -> str:
    """Return everything that decides what the rows become, as one text."""
    names = file.data.label_names
    return json.dumps(
        {
            "file": sha256_of(Path(file.source)),
            # The ending decides the reader.
            "ending": Path(file.source).suffix.lower(),
            "data": to_plain(file.data),
            # Indices in label cells stand for what this file says.
            "label_names": sha256_of(Path(names)) if names not in (None, KNOWN_LABELS) else None,
            "labels": [space.names, file.space.names],
            "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
            "max_length": max_length,
            "versions": [version("multihot"), version("tokenizers")],
        },
        sort_keys=True,
    )


def _state(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _unchanged(
    chunks: Iterator[EncodedRows], path: Path, before: tuple[int, int]
) -> Iterator[EncodedRows]:
    """Pass the chunks on; raise `DataError` when the file changed while it was read."""
    yield from chunks
    if _state(path) != before:
        raise DataError("The file changed while it was read. Start again.", path=path)
