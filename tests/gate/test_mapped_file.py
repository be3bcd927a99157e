"""A file that is used where it is mapped, and noticed when it is changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from multihot.errors import ArtifactError
from multihot.gate.mapped_file import MappedFile, map_folder_file


def mapped(folder: Path, *, writable: bool = False) -> MappedFile:
    (folder / "weights").write_bytes(bytes(range(256)) * 1000)
    return map_folder_file(folder, "weights", error=ArtifactError, writable=writable)


def test_content_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    found = mapped(tmp_path)

    content = (tmp_path / "weights").read_bytes()
    assert bytes(found.content) == content
    assert found.digest == hashlib.sha256(content).hexdigest()
    found.require_unchanged()
    found.require_same_place()


def test_a_file_that_is_written_to_is_noticed(tmp_path: Path) -> None:
    found = mapped(tmp_path)

    with (tmp_path / "weights").open("r+b") as handle:
        handle.write(b"other")

    with pytest.raises(ArtifactError, match="was changed while it is in use"):
        found.require_unchanged()


def test_a_file_that_was_written_to_stays_changed(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    path, before = tmp_path / "weights", (tmp_path / "weights").stat()
    content = path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(ArtifactError):
        found.require_unchanged()

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(ArtifactError, match="was changed while it is in use"):
        found.require_unchanged()


def test_what_is_written_to_a_mapping_stays_in_the_process(tmp_path: Path) -> None:
    found = mapped(tmp_path, writable=True)

    found.content[:3] = b"new"

    assert (tmp_path / "weights").read_bytes()[:3] == bytes(range(3))
    found.require_unchanged()


def test_a_file_that_is_replaced_goes_on_but_is_no_longer_in_its_place(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    before = bytes(found.content)

    (tmp_path / "new").write_bytes(b"other")
    (tmp_path / "new").replace(tmp_path / "weights")

    found.require_unchanged()
    assert bytes(found.content) == before
    with pytest.raises(ArtifactError, match="was replaced while it was loaded"):
        found.require_same_place()


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()

    with pytest.raises(ArtifactError, match="is empty"):
        map_folder_file(tmp_path, "weights", error=ArtifactError)
