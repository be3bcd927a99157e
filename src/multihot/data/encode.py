"""Labelled rows to tokens, label codes and hashes: in memory, or in the cache for large files.

Letters: `M` rows of the arrays, `N` rows that are selected, `L` labels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import digest_64, sha256_of
from multihot.core.labels import LabelSpace, row_hashes, text_hashes
from multihot.core.recipes import to_plain
from multihot.core.windows import WindowSettings
from multihot.data.array_store import cache_folder, entry_of, new_entry, open_entry, remove_entry
from multihot.data.columns.label_plan import KNOWN_LABELS
from multihot.data.examples import Examples
from multihot.data.label_codes import CodeArray, hard_codes
from multihot.data.labelled_file import LabelledFile
from multihot.data.sparse_codes import SparseCodes
from multihot.data.stored_tokens import are_rows, num_ids
from multihot.data.text_windows import TextWindows
from multihot.data.tokens import TokenizedTexts, id_dtype, tokenize
from multihot.errors import DataError, StorageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "SMALL_FILE_BYTES",
    "EncodedRows",
    "encode_file",
    "encode_texts",
    "hold_rows",
    "load_rows",
    "store_rows",
]

AnyArray = npt.NDArray[Any]

SMALL_FILE_BYTES = 16 * 2**20
"""Smaller files are tokenised anew by every run, in seconds, and held in memory."""

_TYPES = {"truncated": "|b1", "hashes": "<u8", "lines": "<i8", "offsets": "<i8"}
_OPTIONAL_TYPES = {"weights": "<f4", "groups": "<u8", "texts": "<u8"}


@dataclass(frozen=True)
class EncodedRows:
    """What training needs of N rows, without their texts; the arrays may lie in mapped files.

    Attributes
    ----------
    tokens
        Token ids of each row.
    codes
        *Shape:* (N, L). Label values, as `label_codes.CodeArray` has them.
    hashes
        *Shape:* (N,), uint64. Hash of text and labels of each row.
    lines
        *Shape:* (N,), int64. 1-based line of each row in its file.
    weights
        *Shape:* (N,), float32. Weight of each row in training; `None` = 1 each.
    groups
        *Shape:* (N,), uint64. Hash of what keeps rows on one side of a split, 0 = nothing;
        `None` = nothing for any row.
    texts
        *Shape:* (N,), uint64. Hash of the text of each row; `None` = not at hand.
    """

    tokens: TokenizedTexts
    codes: CodeArray
    hashes: npt.NDArray[np.uint64]
    lines: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32] | None = None
    groups: npt.NDArray[np.uint64] | None = None
    texts: npt.NDArray[np.uint64] | None = None


def encode_texts(
    examples: Examples,
    space: LabelSpace,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    windows: WindowSettings | None = None,
    dtype: np.dtype[np.unsignedinteger] | None = None,
) -> EncodedRows:
    """Match the labels to `space` by name and tokenise the texts, in memory.

    `dtype` is that of the token ids; see `tokenize`, also for `windows`.
    """
    if examples.labels is None:
        raise DataError("has no labels.", path=examples.source)
    labels = examples.labels.aligned_to(space)
    soft = examples.data.soft_labels or labels.is_soft
    return EncodedRows(
        tokenize(tokenizer, examples.texts, max_length, windows=windows, dtype=dtype),
        labels.values if soft else hard_codes(labels.values),
        row_hashes(examples.texts, labels),
        np.array(examples.lines, dtype=np.int64),
        examples.weights,
        None if examples.groups is None else _group_hashes(examples.groups),
        text_hashes(examples.texts),
    )


def _group_hashes(groups: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of each value, 0 for an empty one."""
    hashes = [digest_64(value.encode("utf-8")) if value else 0 for value in groups]
    return np.array(hashes, dtype=np.uint64)


def encode_file(
    file: LabelledFile,
    space: LabelSpace,
    tokenizer: Tokenizer,
    max_length: int,
    say: Callable[[str], None],
    *,
    windows: WindowSettings | None = None,
    chunk_rows: int | None = None,
) -> EncodedRows:
    """Return the rows of a file, which is read `chunk_rows` at a time (default: as `chunks` does).

    The cache is used for files of 16 MB or more: their rows are tokenised once into mapped files,
    which every later run with the same file, reading options, labels, tokenizer and `max_length`
    opens again. Otherwise, and where the cache is off or cannot be written, tokens and labels (not
    texts) are held in memory.
    """

    def chunks() -> Iterator[EncodedRows]:
        dtype = id_dtype(tokenizer)  # the same for all parts, which are stored one after the other
        for part in file.chunks(chunk_rows):
            yield encode_texts(part, space, tokenizer, max_length, windows=windows, dtype=dtype)

    paths, folder = [Path(part.source) for part in file.parts or (file,)], cache_folder()
    if (
        folder is None
        or not all(path.is_file() for path in paths)
        or sum(path.stat().st_size for path in paths) < SMALL_FILE_BYTES
    ):
        return hold_rows(chunks())
    before = [_state(path) for path in paths]
    key = _key(file, space, tokenizer, max_length, windows)
    entry = entry_of(folder, key)
    known = load_rows(folder, key, num_labels=len(space), end=num_ids(tokenizer))
    if known is not None:
        say(f"Using cached tokens of {file.source}: {entry}.")
        return known
    say(
        f"Tokenising {file.source} once, into {entry}. MULTIHOT_CACHE names another folder, or "
        "is off."
    )
    try:
        return store_rows(folder, key, _unchanged(chunks(), paths, before))
    except StorageError as error:
        say(f"{error} Until then the tokens are held in memory.")
    return hold_rows(chunks())


def load_rows(
    folder: Path, key: str, *, num_labels: int | None = None, end: int | None = None
) -> EncodedRows | None:
    """Open an entry of the cache; `None` unless it is there and verifies.

    With `num_labels` and `end` it must have so many labels, and only token ids below `end`.
    """
    stored = open_entry(folder, key)
    if stored is None:
        return None
    if are_rows(stored[0], num_labels, end):
        return _rows(stored[0], num_labels)
    remove_entry(folder, key)  # it would stay in the way of a new one
    return None


def store_rows(folder: Path, key: str, chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Write an entry of the cache chunk by chunk and open it; one chunk at a time is in memory.

    There must be at least one chunk. Raises `StorageError` when the entry cannot be written; what
    `chunks` raises passes through. In both cases nothing is left behind.
    """
    num_labels = None
    with new_entry(folder, key) as writer:
        for num_labels, arrays in _arrays(chunks):  # noqa: B007 - the last one is used
            for name, array in arrays.items():
                writer.append(name, array)
    assert writer.stored is not None
    return _rows(writer.stored[0], num_labels)


def hold_rows(chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Join chunks in memory."""
    pieces: dict[str, list[AnyArray]] = {}
    num_labels = None
    for num_labels, arrays in _arrays(chunks):  # noqa: B007 - the last one is used
        for name, array in arrays.items():
            pieces.setdefault(name, []).append(array)
    return _rows({name: np.concatenate(parts) for name, parts in pieces.items()}, num_labels)


def _arrays(chunks: Iterable[EncodedRows]) -> Iterator[tuple[int, dict[str, AnyArray]]]:
    """Yield L and the arrays of each chunk by name, offsets counted on over all chunks."""
    num_tokens, is_first = 0, True
    codes_type: np.dtype[Any] | None = None
    for chunk in chunks:
        codes_type = codes_type or chunk.codes.dtype
        # Codes and soft labels side by side would take the code of an unknown label for a value.
        assert chunk.codes.dtype == codes_type, "chunks with and without soft labels"
        tokens = chunk.tokens
        offsets = tokens.offsets + num_tokens
        named: dict[str, AnyArray] = {
            "offsets": offsets if is_first else offsets[1:],
            "truncated": tokens.truncated,
            "hashes": chunk.hashes,
            "lines": chunk.lines,
        }
        arrays = {name: array.astype(_TYPES[name], copy=False) for name, array in named.items()}
        for name, kind in _OPTIONAL_TYPES.items():
            if (array := getattr(chunk, name)) is not None:
                arrays[name] = array.astype(kind, copy=False)
        if tokens.windows is not None:
            arrays["window_counts"] = tokens.windows.counts
            arrays["window_lengths"] = np.diff(tokens.windows.starts)
        codes = chunk.codes
        stored = codes.arrays() if isinstance(codes, SparseCodes) else {"codes": codes}
        yield codes.shape[1], {**arrays, "ids": tokens.ids, **stored}
        num_tokens, is_first = int(offsets[-1]), False


def _rows(arrays: dict[str, AnyArray], num_labels: int | None) -> EncodedRows:
    codes: CodeArray
    if "codes" in arrays:
        codes = arrays["codes"]
    else:
        assert num_labels is not None
        codes = SparseCodes.from_arrays(arrays, num_labels)
    windows = None
    if "window_counts" in arrays:
        ends = (np.cumsum(arrays[name]) for name in ("window_lengths", "window_counts"))
        windows = TextWindows(*(np.append(0, each) for each in ends))
    tokens = TokenizedTexts(arrays["ids"], arrays["offsets"], arrays["truncated"], windows)
    return EncodedRows(
        tokens,
        codes,
        arrays["hashes"],
        arrays["lines"],
        arrays.get("weights"),
        arrays.get("groups"),
        arrays.get("texts"),
    )


def _key(
    file: LabelledFile,
    space: LabelSpace,
    tokenizer: Tokenizer,
    max_length: int,
    windows: WindowSettings | None,
) -> str:
    """Return everything that the encoded rows depend on, as one string."""
    cut = {} if windows is None else {"windows": [windows.overlap, windows.max_windows]}
    return json.dumps(
        {
            **cut,
            "files": [_facts(part) for part in file.parts or (file,)],
            "labels": space.names,
            "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
            "max_length": max_length,
            "versions": [version("multihot"), version("tokenizers")],
        },
        sort_keys=True,
    )


def _facts(file: LabelledFile) -> dict[str, Any]:
    """Return everything that the content of one file depends on."""
    names = file.data.label_names
    return {
        "file": sha256_of(Path(file.source)),
        # The ending decides the reader.
        "ending": Path(file.source).suffix.lower(),
        "data": to_plain(file.data),
        # Label cells may hold indices into this file.
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
