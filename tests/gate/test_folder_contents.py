"""What is hashed is what is parsed, and nothing is used that was not listed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from multihot.errors import ArtifactError
from multihot.gate.folder_contents import FolderContents


def contents_of(folder: Path, files: dict[str, bytes]) -> FolderContents:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return FolderContents(folder, error=ArtifactError, digests=digests)


def test_files_come_as_they_are_and_verify(tmp_path: Path) -> None:
    weights = save({"a": np.arange(3, dtype=np.float32)})
    contents = contents_of(tmp_path, {"a.json": b'{"a": 1}', "w.safetensors": weights, "x": b"x"})

    with contents.verifying():
        assert contents.json_object("a.json") == {"a": 1}
        header, content = contents.tensors("w.safetensors")

    assert bytes(content) == weights
    assert header.tensors["a"].shape == (3,)


def test_a_changed_file_is_refused_whether_it_is_read_or_not(tmp_path: Path) -> None:
    weights = save({"a": np.arange(3, dtype=np.float32)})
    other = save({"a": np.ones(3, dtype=np.float32)})
    contents = contents_of(tmp_path, {"a.json": b"{}", "w.safetensors": weights, "x": b"x"})
    (tmp_path / "x").write_bytes(b"y")
    with pytest.raises(ArtifactError, match="x was changed after training"):
        contents.verify()

    contents = contents_of(tmp_path, {"a.json": b"{}", "w.safetensors": weights, "x": b"x"})
    (tmp_path / "w.safetensors").write_bytes(other)
    contents.tensors("w.safetensors")  # the digest of weights comes later
    with pytest.raises(ArtifactError, match=r"w\.safetensors was changed"):
        contents.verify()
    (tmp_path / "a.json").write_bytes(json.dumps({"b": 1}).encode())
    with pytest.raises(ArtifactError, match=r"a\.json was changed"):
        contents.json_object("a.json")


def test_that_a_file_was_changed_explains_what_failed_because_of_it(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, {"a.json": b"{}", "x": b"x"})
    (tmp_path / "x").write_bytes(b"y")

    with pytest.raises(ArtifactError, match="x was changed"), contents.verifying():
        raise ZeroDivisionError


def test_what_is_not_listed_is_not_read(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, {"x": b"x"})
    (tmp_path / "y").write_bytes(b"y")

    with pytest.raises(ArtifactError, match="the SHA-256 of y is not known"):
        contents.content("y", most_bytes=9)


def test_what_is_wrong_with_weights_is_raised_where_they_are_asked_for(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, {"w.safetensors": b"no tensors"})
    contents.begin_tensors("w.safetensors")

    with pytest.raises(ArtifactError, match="announces a header"):
        contents.tensors("w.safetensors")
