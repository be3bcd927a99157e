"""Labelled rows to tokens, label codes and hashes: in memory, or in the cache for large files.

Label values take one byte a cell; soft labels, which may be any fraction, take four.

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
from multihot.data.labelled_file import WINDOW_ROWS, LabelledFile
from multihot.data.stored_tokens import are_rows, num_ids
from multihot.data.text_windows import TextWindows
from multihot.data.tokens import TokenizedTexts, id_dtype, tokenize
from multihot.errors import DataError, StorageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "SMALL_FILE_BYTES",
    "CodeArray",
    "EncodedRows",
    "LabelTotals",
    "encode_file",
    "encode_texts",
    "has_known_label",
    "hold_rows",
    "label_codes",
    "label_totals",
    "label_values",
    "load_rows",
    "positive_cells",
    "store_rows",
]

CodeArray = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""*Shape:* (M, L). uint8: 0 = negative, 1 = positive, 2 = unknown. Of soft labels float32: the values
themselves, NaN = unknown."""
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_UNKNOWN = 2
_VALUES = np.array([0, 1, np.nan], dtype=np.float32)  # what the codes stand for
_WINDOW_CELLS = 2**24  # cells in memory at once, whatever N is


def label_codes(values: FloatArray) -> npt.NDArray[np.uint8]:
    """Return 0, 1 and NaN as 0, 1 and 2. *Shapes:* (N, L), float32 -> (N, L), uint8."""
    return np.where(np.isnan(values), _UNKNOWN, values).astype(np.uint8)


def label_values(codes: CodeArray, indices: IntArray | None = None) -> FloatArray:
    """Return the values of the given rows (default: all), NaN = unknown. *Shape:* (N, L), float32."""
    chosen = codes if indices is None else codes[indices]
    return np.asarray(chosen, np.float32) if _is_soft(chosen) else _VALUES[chosen]


@dataclass(frozen=True)
class LabelTotals:
    """Counts over the selected rows, one for each of L labels."""

    known: IntArray
    """Rows in which the label is known."""
    positives: IntArray
    """Rows that have the label (above 0.5)."""
    sums: npt.NDArray[np.float64]
    """Sums of the known values; equal to `positives` where no value is a fraction."""


def label_totals(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> LabelTotals:
    """Count labels over the given rows in one pass, `window_cells` cells at a time."""
    num_labels = codes.shape[1]
    known, positives = np.zeros((2, num_labels), dtype=np.int64)
    sums = np.zeros(num_labels, dtype=np.float64)
    for _, part in _windows(codes, indices, window_cells):
        known += _known(part).sum(axis=0)
        positives += _positive(part).sum(axis=0)
        if _is_soft(part):
            sums += np.nansum(part, axis=0, dtype=np.float64)
    return LabelTotals(known, positives, sums if _is_soft(codes) else positives.astype(np.float64))


def has_known_label(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> BoolArray:
    """Return which of the given rows have a known cell. *Shape:* (N,)."""
    result = np.empty(len(indices), dtype=np.bool_)
    for start, part in _windows(codes, indices, window_cells):
        result[start : start + len(part)] = _known(part).any(axis=1)
    return result


def positive_cells(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> BoolArray:
    """Return which of the given rows have which label (above 0.5). *Shape:* (N, L)."""
    result = np.empty((len(indices), codes.shape[1]), dtype=np.bool_)
    for start, part in _windows(codes, indices, window_cells):
        result[start : start + len(part)] = _positive(part)
    return result


def _windows(
    codes: CodeArray, indices: IntArray, window_cells: int
) -> Iterator[tuple[int, CodeArray]]:
    """Yield position and codes of a few rows at a time."""
    num_rows = max(1, window_cells // codes.shape[1])
    for start in range(0, len(indices), num_rows):
        yield start, codes[indices[start : start + num_rows]]


def _positive(codes: CodeArray) -> BoolArray:
    return np.asarray(codes > 0.5 if _is_soft(codes) else codes == 1)


def _known(codes: CodeArray) -> BoolArray:
    return np.asarray(~np.isnan(codes) if _is_soft(codes) else codes != _UNKNOWN)


def _is_soft(codes: CodeArray) -> bool:
    return codes.dtype == np.float32


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
        labels.values if soft else label_codes(labels.values),
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
    chunk_rows: int = WINDOW_ROWS,
) -> EncodedRows:
    """Return the rows of a file, which is read `chunk_rows` at a time.

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
        return _rows(stored[0])
    remove_entry(folder, key)  # it would stay in the way of a new one
    return None


def store_rows(folder: Path, key: str, chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Write an entry of the cache chunk by chunk and open it; one chunk at a time is in memory.

    There must be at least one chunk. Raises `StorageError` when the entry cannot be written; what
    `chunks` raises passes through. In both cases nothing is left behind.
    """
    with new_entry(folder, key) as writer:
        for arrays in _arrays(chunks):
            for name, array in arrays.items():
                writer.append(name, array)
    assert writer.stored is not None
    return _rows(writer.stored[0])


def hold_rows(chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Join chunks in memory."""
    pieces: dict[str, list[AnyArray]] = {}
    for arrays in _arrays(chunks):
        for name, array in arrays.items():
            pieces.setdefault(name, []).append(array)
    return _rows({name: np.concatenate(parts) for name, parts in pieces.items()})


def _arrays(chunks: Iterable[EncodedRows]) -> Iterator[dict[str, AnyArray]]:
    """Yield the arrays of each chunk by name, offsets counted on over all chunks."""
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
        yield {**arrays, "ids": tokens.ids, "codes": chunk.codes}
        num_tokens, is_first = int(offsets[-1]), False


def _rows(arrays: dict[str, AnyArray]) -> EncodedRows:
    windows = None
    if "window_counts" in arrays:
        ends = (np.cumsum(arrays[name]) for name in ("window_lengths", "window_counts"))
        windows = TextWindows(*(np.append(0, each) for each in ends))
    tokens = TokenizedTexts(arrays["ids"], arrays["offsets"], arrays["truncated"], windows)
    return EncodedRows(
        tokens,
        arrays["codes"],
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
