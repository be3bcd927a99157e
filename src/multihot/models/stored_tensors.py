"""Tensors of safetensors files that were read and checked already: views of their bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from multihot.gate.tensor_headers import StoredTensor, TensorHeader

__all__ = ["tensors_of"]

_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
}


def tensors_of(header: TensorHeader, content: memoryview) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name; each is a view of its bytes."""
    return {name: _tensor(tensor, content) for name, tensor in header.tensors.items()}


def _tensor(stored: StoredTensor, content: memoryview) -> Tensor:
    dtype = _TYPES[stored.dtype]
    if not stored.num_values:
        return torch.empty(stored.shape, dtype=dtype)
    part = content[stored.start : stored.end]
    if stored.start % dtype.itemsize:  # as no writer that is known lays them out
        part = memoryview(bytearray(part))
    return torch.frombuffer(part, dtype=dtype).reshape(stored.shape)
