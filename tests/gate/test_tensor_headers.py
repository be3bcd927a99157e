"""The header of a safetensors file is read and checked before anything is allocated for it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from multihot.errors import ArtifactError
from multihot.gate.tensor_headers import TENSOR_TYPES, parse_tensor_header, read_tensor_header


def _file(header: Any, num_bytes: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(num_bytes)


def _entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_header_tells_where_each_tensor_is(tmp_path: Path) -> None:
    arrays = {
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scale": np.array(2.5, np.float16),
        "none": np.zeros((0, 4), np.float64),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "pt"})
    raw = (tmp_path / "a.safetensors").read_bytes()

    header = read_tensor_header(tmp_path, "a.safetensors", error=ArtifactError)

    assert header == parse_tensor_header(raw, "a", error=ArtifactError)
    assert header.metadata == {"format": "pt"}
    weight = header.tensors["weight"]
    assert weight.shape == (2, 3)
    assert weight.num_values == 6
    assert raw[weight.start : weight.end] == arrays["weight"].tobytes()
    assert header.tensors["scale"].shape == ()
    assert header.tensors["none"].num_values == 0


def test_integers_are_refused_as_weights_and_read_where_they_are_asked_for() -> None:
    raw = save({"ids": np.arange(3)})

    with pytest.raises(ArtifactError, match="the tensor 'ids' is of type 'I64'; expected one of"):
        parse_tensor_header(raw, "a.safetensors", error=ArtifactError)
    header = parse_tensor_header(raw, "a.safetensors", error=ArtifactError, dtypes=TENSOR_TYPES)
    assert header.tensors["ids"].dtype == "I64"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has 0 bytes"),
        (b"\x01\x00\x00", "has 3 bytes"),
        (struct.pack("<Q", 2**63), "announces a header of 9223372036854775808 bytes"),
        (struct.pack("<Q", 3) + b"{}", "announces a header of 3 bytes"),
        (_file(b"{"), "not valid JSON"),
        (_file([]), "no JSON object"),
        (_file({"a": _entry()}, 7), "has 76 bytes; its header describes 77"),
        (_file({"a": _entry()}, 9), "has 78 bytes; its header describes 77"),
        (_file({"a": _entry("C64", (1,))}, 8), "of type 'C64'"),
        (_file({"a": _entry(["F32"])}, 8), "of type"),
        (_file({"a": _entry(shape=(3,))}, 8), "has 8 bytes; expected 12"),
        (_file({"a": _entry(shape=(2**40, 2**40))}, 8), "has 8 bytes; expected"),
        (_file({"a": _entry(shape=(-2,))}, 8), "has the shape [-2]"),
        (_file({"a": _entry(shape=(True, 2))}, 8), "has the shape [True, 2]"),
        (_file({"a": _entry(shape="2")}, 8), "has the shape '2'"),
        (_file({"a": _entry(shape=(1,) * 8 + (2,))}, 8), "has the shape"),
        (_file({"a": _entry(offsets=(8, 16))}, 16), "begins at byte"),
        (_file({"a": _entry(), "b": _entry()}, 8), "begins at byte"),
        (_file({"a": _entry(shape=(0, 2**62), offsets=(0, 0))}), "larger than any file"),
        (_file({"a": _entry(offsets=(0,))}, 8), "lies at [0]"),
        (_file({"a": {**_entry(), "more": 1}}, 8), "is described by"),
        (_file({"a": 1}), "is described by 1"),
        (_file({"__metadata__": {"format": 1}}), "its metadata is"),
        (_file({"__metadata__": []}), "its metadata is []"),
        (_file(b'{"a": {}, "a": {}}'), "the key 'a' comes twice"),
        (_file(b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}"), "inside each other"),
    ],
)
def test_a_damaged_header_is_refused_with_what_is_wrong(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)

    for read in (
        lambda: parse_tensor_header(content, tmp_path / "a.safetensors", error=ArtifactError),
        lambda: read_tensor_header(tmp_path, "a.safetensors", error=ArtifactError),
    ):
        with pytest.raises(ArtifactError) as caught:
            read()
        assert reason in str(caught.value)
        assert "a.safetensors" in str(caught.value)
