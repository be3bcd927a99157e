"""Whether arrays from a cache fit together, so that what a file there says is never trusted blindly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.data.sparse_codes import UNKNOWN

__all__ = ["are_ids", "are_offsets", "are_rows", "num_ids"]

AnyArray = npt.NDArray[Any]

_FIXED = {"truncated": "|b1", "hashes": "<u8", "lines": "<i8"}
_OPTIONAL = {"weights": "<f4", "groups": "<u8", "texts": "<u8"}
_SPARSE = {
    "code_common": "|u1",
    "code_lengths": "<i8",
    "code_columns": "<i4",
    "code_cells": "|u1",
}
_WINDOW = 1 << 20  # numbers that are looked at at once


def num_ids(tokenizer: Tokenizer) -> int:
    """Return one more than the largest id of a vocabulary."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def are_ids(array: AnyArray, end: int | None) -> bool:
    """Return whether these are token ids below `end`."""
    is_kind = array.ndim == 1 and array.dtype.str in ("<u2", "<u4")
    return is_kind and (end is None or not len(array) or int(array.max()) < end)


def are_offsets(array: AnyArray, end: int, *, may_be_empty: bool) -> bool:
    """Return whether an array divides `end` things into parts: from 0 to `end`, never falling."""
    if array.dtype.str != "<i8" or array.ndim != 1 or not len(array):
        return False
    least = 0 if may_be_empty else 1
    steps = (np.diff(array[start : start + _WINDOW + 1]) for start in range(0, len(array), _WINDOW))
    rises = all((part >= least).all() for part in steps)
    return bool(rises and array[0] == 0 and array[-1] == end)


def are_rows(arrays: Mapping[str, AnyArray], num_labels: int | None, end: int | None) -> bool:
    """Return whether arrays hold encoded rows of so many labels, with token ids below `end`."""
    if not {"ids", "offsets", *_FIXED} <= set(arrays):
        return False
    num_rows = len(arrays["hashes"])
    kinds = {**_FIXED, **{name: kind for name, kind in _OPTIONAL.items() if name in arrays}}
    return (
        all(
            arrays[name].dtype.str == kind and arrays[name].shape == (num_rows,)
            for name, kind in kinds.items()
        )
        and (
            _are_dense(arrays["codes"], num_rows, num_labels)
            if "codes" in arrays
            else _are_sparse(arrays, num_rows, num_labels)
        )
        and are_ids(arrays["ids"], end)
        and len(arrays["offsets"]) == num_rows + 1
        and are_offsets(arrays["offsets"], len(arrays["ids"]), may_be_empty=True)
        and _are_windows(arrays)
    )


def _are_dense(codes: AnyArray, num_rows: int, num_labels: int | None) -> bool:
    return (
        codes.ndim == 2
        and len(codes) == num_rows
        and num_labels in (None, codes.shape[1])
        and _are_codes(codes)
    )


def _are_sparse(arrays: Mapping[str, AnyArray], num_rows: int, num_labels: int | None) -> bool:
    """Return whether arrays hold `SparseCodes` of so many labels, which they do not say themselves."""
    if num_labels is None or not set(_SPARSE) <= set(arrays):
        return False
    kinds = all(arrays[name].dtype.str == kind for name, kind in _SPARSE.items())
    if not kinds or any(arrays[name].ndim != 1 for name in _SPARSE):
        return False
    common, lengths, columns, cells = (arrays[name] for name in _SPARSE)
    return (
        len(common) == len(lengths) == num_rows
        and not ((lengths < 0) | (lengths > num_labels)).any()
        and len(columns) == len(cells) == int(lengths.sum())
        and bool(np.isin(common, (0, UNKNOWN)).all())
        and not ((columns < 0) | (columns >= num_labels)).any()
        and not (cells > UNKNOWN).any()
    )


def _are_windows(arrays: Mapping[str, AnyArray]) -> bool:
    """Return whether windows, where there are any, divide every text into parts."""
    names = ("window_counts", "window_lengths")
    counts, lengths = (arrays.get(name) for name in names)
    if counts is None or lengths is None:
        return counts is None and lengths is None
    if any(each.dtype.str != "<i8" or each.ndim != 1 for each in (counts, lengths)):
        return False
    if len(counts) != len(arrays["offsets"]) - 1 or counts.min(initial=1) < 1:
        return False
    # One after the other: sums of huge numbers could come out right.
    if counts.max(initial=1) > len(lengths) or counts.sum() != len(lengths):
        return False
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > len(arrays["ids"]):
        return False
    starts = np.append(0, np.cumsum(lengths))
    return bool((starts[np.append(0, np.cumsum(counts))] == arrays["offsets"]).all())


def _are_codes(codes: AnyArray) -> bool:
    if not codes.size:
        return codes.dtype.str in ("|u1", "<f4")
    if codes.dtype.str == "|u1":
        return int(codes.max()) <= UNKNOWN
    # Soft labels; these ignore NaN, which is an unknown one.
    least, most = np.fmin.reduce(codes, axis=None), np.fmax.reduce(codes, axis=None)
    return codes.dtype.str == "<f4" and not least < 0 and not most > 1
