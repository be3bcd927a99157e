"""What a safetensors file holds, from its header alone: names, types, shapes and where the bytes are.

The format: 8 bytes with the length of the header, little-endian; the header, a JSON object that maps
each name to `dtype`, `shape` and `data_offsets`, with texts under `__metadata__`; the bytes of all
tensors, one after the other without gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.errors import MultihotError
from multihot.gate.folder_files import MAX_FILE_BYTES, open_folder_file, shown_file
from multihot.gate.json_documents import parse_json

__all__ = [
    "TENSOR_TYPES",
    "WEIGHT_TYPES",
    "StoredTensor",
    "TensorHeader",
    "parse_tensor_header",
    "read_tensor_header",
]

WEIGHT_TYPES = ("F16", "BF16", "F32", "F64")
"""What weights may be: float16, bfloat16, float32 and float64."""

TENSOR_TYPES: Mapping[str, int] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
"""Bytes of one number of each type that is read at all."""

_METADATA = "__metadata__"
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 << 20
_MAX_DIMENSIONS = 8
_MAX_NAME_CHARACTERS = 512
_KEYS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a safetensors file."""

    dtype: str
    """One of `TENSOR_TYPES`."""
    shape: tuple[int, ...]
    start: int
    """First byte, counted from the beginning of the file."""
    end: int
    """The byte after the last one."""

    @property
    def num_values(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class TensorHeader:
    """What a safetensors file holds."""

    tensors: dict[str, StoredTensor]
    """By name, in the order of the file's bytes."""
    metadata: dict[str, str]


def read_tensor_header(
    folder: Path,
    name: str,
    *,
    error: type[MultihotError],
    dtypes: Collection[str] = WEIGHT_TYPES,
) -> TensorHeader:
    """Return what the safetensors file `name` of `folder` holds; its tensors are not read.

    Raises `error` as `open_folder_file` and `parse_tensor_header` do.
    """
    path = folder / name
    handle, size = open_folder_file(folder, name, most_bytes=MAX_FILE_BYTES, error=error)
    with handle:
        try:
            begin = handle.read(_LENGTH_BYTES)
            length = _header_bytes(begin, size, path, error)
            begin += handle.read(length)
        except OSError as reason:
            raise error(f"{shown_file(path)} cannot be read: {reason.strerror}.") from None
    return parse_tensor_header(begin, path, error=error, dtypes=dtypes, file_bytes=size)


def parse_tensor_header(
    content: bytes | memoryview,
    source: str | Path,
    *,
    error: type[MultihotError],
    dtypes: Collection[str] = WEIGHT_TYPES,
    file_bytes: int | None = None,
) -> TensorHeader:
    """Return what a safetensors file holds, from its bytes; raise `error` when it holds anything else.

    Parameters
    ----------
    content
        The bytes of the file, or its beginning with the whole header.
    source
        The file, for messages.
    error
        The class of what is raised.
    dtypes
        The types that its tensors may have, of `TENSOR_TYPES`.
    file_bytes
        Size of the file; `None`: `content` is all of it.
    """
    size = len(content) if file_bytes is None else file_bytes

    def refuse(reason: str) -> MultihotError:
        return error(f"{shown_file(source)}{reason}")

    length = _header_bytes(content[:_LENGTH_BYTES], size, source, error)
    first = _LENGTH_BYTES + length
    if len(content) < first:
        raise refuse(" is cut off inside its header.")
    header = parse_json(content[_LENGTH_BYTES:first], source, error=error, max_depth=4)
    if not isinstance(header, dict):
        raise refuse(": its header is no JSON object.")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise refuse(f": its metadata is {cut(metadata)}; expected texts by name.")
    tensors = {
        name: _stored_tensor(name, entry, first, dtypes, refuse) for name, entry in header.items()
    }
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_offsets(ordered, first, size, refuse)
    return TensorHeader(ordered, metadata)


def _header_bytes(
    begin: bytes | memoryview, size: int, source: str | Path, error: type[MultihotError]
) -> int:
    """Return the length of the header; raise `error` when the file cannot hold one of this length."""
    if len(begin) < _LENGTH_BYTES or size < _LENGTH_BYTES:
        raise error(f"{shown_file(source)} has {size} bytes; it is no safetensors file.")
    length = int.from_bytes(begin, "little")
    if length > size - _LENGTH_BYTES or length > _MAX_HEADER_BYTES:
        raise error(
            f"{shown_file(source)} announces a header of {length} bytes and has {size}; it is cut off "
            "or no safetensors file."
        )
    return length


def _stored_tensor(
    name: str,
    entry: Any,
    first: int,
    dtypes: Collection[str],
    refuse: Callable[[str], MultihotError],
) -> StoredTensor:
    """Return one entry of the header, its size compared with its shape."""
    where = f": the tensor {cut(name)}"
    if not isinstance(entry, dict) or set(entry) != _KEYS or len(name) > _MAX_NAME_CHARACTERS:
        raise refuse(f"{where} is described by {cut(entry)}; it is damaged.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in TENSOR_TYPES or dtype not in dtypes:
        raise refuse(f"{where} is of type {cut(dtype)}; expected one of {listed([*dtypes])}.")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise refuse(f"{where} has the shape {cut(shape)}; expected a list of numbers.")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise refuse(f"{where} lies at {cut(offsets)}; expected two numbers of bytes.")
    start, end = offsets
    expected = math.prod(shape) * TENSOR_TYPES[dtype]
    if end - start != expected:
        raise refuse(
            f"{where} has {end - start} bytes; expected {expected} for the shape {cut(shape)}."
        )
    # Of an empty tensor the bytes bound nothing, and its strides are products of its other sizes.
    if math.prod(each or 1 for each in shape) > MAX_FILE_BYTES:
        raise refuse(f"{where} has the shape {cut(shape)}, which is larger than any file.")
    return StoredTensor(dtype, tuple(shape), first + start, first + end)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _check_offsets(
    tensors: Mapping[str, StoredTensor],
    first: int,
    size: int,
    refuse: Callable[[str], MultihotError],
) -> None:
    """Refuse the file unless its tensors follow each other without gaps and fill the file."""
    place = first
    for name, tensor in tensors.items():
        if tensor.start != place:
            raise refuse(
                f": the tensor {cut(name)} begins at byte {tensor.start}; "
                f"expected {place}. It is damaged."
            )
        place = tensor.end
    if place != size:
        raise refuse(f" has {size} bytes; its header describes {place}. It is cut off or damaged.")
