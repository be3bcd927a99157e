"""Which files of a folder hold the weights of an encoder, and which tensors are in them.

An index of several files could name files of any kind anywhere, so its names are checked before one is
opened. Pickled weights are never an answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.json_documents import read_json_object
from multihot.gate.tensor_headers import (
    TENSOR_TYPES,
    WEIGHT_TYPES,
    StoredTensor,
    TensorHeader,
    read_tensor_header,
)

__all__ = ["CONFIG_FILE", "encoder_tensors", "weight_files", "weights_among", "with_stored_labels"]

CONFIG_FILE = "config.json"

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MAX_FILES = 1000
_MANY_LABELS = 10_000  # of which every copy of a configuration takes its time
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_BUFFERS = ("position_ids", "token_type_ids", "num_batches_tracked")  # of whole numbers


def weight_files(folder: Path, *, error: type[MultihotError]) -> tuple[str, ...]:
    """Return the names of the safetensors files that hold an encoder's weights.

    Raises `error` where there are none, and for an index that names anything but such files in the
    folder itself.
    """
    if os.path.lexists(folder / _ONE_FILE):
        return (_ONE_FILE,)
    if not os.path.lexists(folder / _INDEX):
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        hint = f" It has {listed(pickled)}, a pickle, which is never loaded." if pickled else ""
        raise error(
            f"{shown_file(folder)} holds no safetensors weights ({_ONE_FILE}).{hint} Convert them with "
            "transformers' save_pretrained, or use a revision that has them."
        )
    places = read_json_object(folder, _INDEX, error=error).get("weight_map")
    path = shown_file(folder / _INDEX)
    if not isinstance(places, dict) or not places:
        raise error(f"{path}: 'weight_map' is {cut(places)}; expected the file of each weight.")
    for name in places.values():
        if not isinstance(name, str) or _PLAIN.fullmatch(name) is None:
            raise error(
                f"{path} names {cut(name)}; expected names of safetensors files in this folder."
            )
    names = tuple(sorted(set(places.values())))
    if len(names) > _MAX_FILES:
        raise error(f"{path} names {len(names)} files; expected at most {_MAX_FILES}.")
    return names


def encoder_tensors(folder: Path, *, error: type[MultihotError]) -> dict[str, StoredTensor]:
    """Return the weights of an encoder by name, from the headers of their files alone.

    Raises `error` as `weight_files` and `weights_among` do, and for a weight in two files.
    """
    found: dict[str, StoredTensor] = {}
    for name in weight_files(folder, error=error):
        header = read_tensor_header(folder, name, error=error, dtypes=TENSOR_TYPES)
        weights = weights_among(header, folder / name, error=error).tensors
        if twice := sorted(set(found) & set(weights)):
            raise error(
                f"{shown_file(folder / name)}: {listed(twice, 3)} are in another file, too."
            )
        found |= weights
    return found


def weights_among(
    header: TensorHeader, source: Path, *, error: type[MultihotError]
) -> TensorHeader:
    """Return a header without buffers of whole numbers; raise `error` for weights of such a type."""
    weights = {}
    for name, tensor in header.tensors.items():
        if tensor.dtype in WEIGHT_TYPES:
            weights[name] = tensor
        elif not name.endswith(_BUFFERS):
            raise error(
                f"{shown_file(source)}: the weight {cut(name)} is of type {tensor.dtype}; expected one of "
                f"{listed(WEIGHT_TYPES)}. Quantised checkpoints are not supported."
            )
    return TensorHeader(weights, header.metadata)


def with_stored_labels(
    config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
) -> dict[str, Any]:
    """Return a checked configuration without labels that are very many and in no stored weight."""
    sizes = {tensor.shape[0] for tensor in tensors.values() if tensor.shape}
    return {
        key: value
        for key, value in config.items()
        if key not in ("id2label", "label2id") or len(value) <= _MANY_LABELS or len(value) in sizes
    }
