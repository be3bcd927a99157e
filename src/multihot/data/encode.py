"""Labelled rows to tokens, label codes and hashes: in memory, or through the cache for large files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import sha256_of
from multihot.core.labels import LabelSpace, row_hashes
from multihot.core.recipes import to_plain
from multihot.data.array_store import (
    EncodedRows,
    cache_folder,
    entry_of,
    find_rows,
    hold_rows,
    store_rows,
)
from multihot.data.columns.label_plan import KNOWN_LABELS
from multihot.data.examples import Examples
from multihot.data.label_codes import label_codes
from multihot.data.labelled_file import LabelledFile
from multihot.data.tokens import tokenize
from multihot.errors import DataError, StorageError

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
    soft = examples.data.soft_labels or labels.is_soft
    return EncodedRows(
        tokenize(tokenizer, examples.texts, max_length),
        labels.values if soft else label_codes(labels.values),
        row_hashes(examples.texts, labels),
        np.array(examples.lines, dtype=np.int64),
        examples.weights,
        None if examples.groups is None else _group_hashes(examples.groups),
    )


def _group_hashes(groups: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of each value, the first 8 bytes of a SHA-256; 0 for an empty one."""
    digests = (hashlib.sha256(value.encode("utf-8")).digest()[:8] for value in groups)
    hashes = [int.from_bytes(digest, "little") for digest in digests]
    return np.where(np.array(groups) == "", 0, np.array(hashes, dtype=np.uint64)).astype(np.uint64)


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

    paths, folder = [Path(part.source) for part in file.parts or (file,)], cache_folder()
    if (
        folder is None
        or not all(path.is_file() for path in paths)
        or sum(path.stat().st_size for path in paths) < SMALL_FILE_BYTES
    ):
        return hold_rows(chunks())
    before = [_state(path) for path in paths]
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
        rows = store_rows(folder, key, _unchanged(chunks(), paths, before))
    except StorageError as error:
        say(f"{error} Until then the tokens are held in memory.")
        return hold_rows(chunks())
    return rows


def _key(file: LabelledFile, space: LabelSpace, tokenizer: Tokenizer, max_length: int) -> str:
    """Return everything that decides what the rows become, as one text."""
    return json.dumps(
        {
            "files": [_facts(part) for part in file.parts or (file,)],
            "labels": space.names,
            "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
            "max_length": max_length,
            "versions": [version("multihot"), version("tokenizers")],
        },
        sort_keys=True,
    )


def _facts(file: LabelledFile) -> dict[str, Any]:
    """Return everything that decides what one file says."""
    names = file.data.label_names
    return {
        "file": sha256_of(Path(file.source)),
        # The ending decides the reader.
        "ending": Path(file.source).suffix.lower(),
        "data": to_plain(file.data),
        # Indices in label cells stand for what this file says.
        "label_names": sha256_of(Path(names)) if names not in (None, KNOWN_LABELS) else None,
        "labels": file.space.names,
    }


def _state(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _unchanged(
    chunks: Iterator[EncodedRows], paths: Sequence[Path], before: Sequence[tuple[int, int]]
) -> Iterator[EncodedRows]:
    """Pass the chunks on; raise `DataError` when a file changed while it was read."""
    yield from chunks
    for path, state in zip(paths, before, strict=True):
        if _state(path) != state:
            raise DataError("The file changed while it was read. Start again.", path=path)
