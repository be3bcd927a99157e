"""Only regular files inside the folder are read, and each is read once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from multihot.errors import ArtifactError, EncoderError
from multihot.gate.folder_files import file_place, read_folder_file


def _read(folder: Path, name: str, most_bytes: int = 100) -> bytes:
    return bytes(read_folder_file(folder, name, most_bytes=most_bytes, error=ArtifactError))


def test_a_regular_file_is_returned_whole_and_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "a.txt").write_bytes(b"before")
    content = read_folder_file(tmp_path, "encoder/a.txt", most_bytes=6, error=ArtifactError)

    (tmp_path / "encoder" / "a.txt").write_bytes(b"AFTER!")

    assert bytes(content) == b"before"


def test_an_empty_file_has_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()

    assert _read(tmp_path, "a.txt") == b""


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/hostname",
        "..",
        "../a.txt",
        "b/../a.txt",
        "./a.txt",
        "b//a.txt",
        "C:a.txt",
        "b\\a.txt",
        "a.txt\0",
        "a\n.txt",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").touch()

    with pytest.raises(ArtifactError, match="inside the folder"):
        _read(tmp_path, name)


def test_pipes_devices_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")

    with pytest.raises(ArtifactError, match="a folder; expected a regular file"):
        _read(tmp_path, "folder")
    with pytest.raises(ArtifactError, match="a named pipe"):
        _read(tmp_path, "pipe")
    with pytest.raises(ArtifactError, match="outside the folder"):
        _read(tmp_path, "null")


def test_a_link_may_lead_to_another_file_of_the_folder_but_not_out_of_it(tmp_path: Path) -> None:
    folder, other = tmp_path / "model", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "a.txt").write_bytes(b"a")
    (other / "b.txt").write_bytes(b"b")
    (folder / "inside").symlink_to("a.txt")
    (folder / "outside").symlink_to("../other/b.txt")
    (folder / "linked").symlink_to(other)
    (folder / "nothing").symlink_to("gone.txt")

    assert _read(folder, "inside") == b"a"
    for name in ("outside", "linked/b.txt"):
        with pytest.raises(ArtifactError, match=r"a link to .*, outside the folder"):
            _read(folder, name)
    with pytest.raises(ArtifactError, match="lacks nothing"):
        _read(folder, "nothing")


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_bytes(b"a")
    (tmp_path / "latest").symlink_to("model")

    assert _read(tmp_path / "latest", "a.txt") == b"a"


def test_files_of_the_hub_cache_may_be_links_to_its_blobs_and_to_nothing_else(
    tmp_path: Path,
) -> None:
    repository = tmp_path / "models--someone--something"
    snapshot = repository / "snapshots" / "0123abcd"
    (snapshot / "encoder").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "ff00").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot / "config.json").symlink_to("../../blobs/ff00")
    (snapshot / "encoder" / "config.json").symlink_to("../../../blobs/ff00")
    (snapshot / "secret").symlink_to(tmp_path / "secret")
    (repository / "blobs" / "ff01").symlink_to(tmp_path / "secret")
    (snapshot / "twice").symlink_to("../../blobs/ff01")

    assert _read(snapshot, "config.json") == b"content"
    assert _read(snapshot, "encoder/config.json") == b"content"
    assert _read(snapshot / "encoder", "config.json") == b"content"
    for name in ("secret", "twice"):
        with pytest.raises(ArtifactError, match="outside the folder"):
            _read(snapshot, name)


def test_a_file_above_the_bound_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345")

    with pytest.raises(ArtifactError, match="has 5 bytes; expected at most 4"):
        _read(tmp_path, "a.txt", most_bytes=4)


def test_the_error_is_of_the_class_asked_for_and_shows_no_control_character(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()

    with pytest.raises(EncoderError) as caught:
        file_place(folder, "config.json", EncoderError)
    assert str(caught.value).endswith("a\\x1b[31m lacks config.json; copy the whole folder anew.")


def test_a_huge_file_of_holes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.safetensors").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(ArtifactError, match="nearly all of them holes"):
        _read(tmp_path, "a.safetensors", most_bytes=1 << 41)
