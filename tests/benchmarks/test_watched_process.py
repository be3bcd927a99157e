"""What a watched process does outside its places is noted, and others can act while it loads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watched_process import Meanwhile, observe

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_files_outside_and_code_of_the_folder_are_noted(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside.txt"
    folder.mkdir()
    (folder / "inside.txt").write_text("a")
    (folder / "link.txt").symlink_to(outside)
    outside.write_text("b")

    def command() -> int:
        for path in (folder / "inside.txt", folder / "link.txt"):
            os.write(1, path.read_bytes())
        return 3

    found = observe(command, tmp_path / "work", folder=folder, places=(), code_of="nothing")

    assert (found.code, found.output) == (3, "ab")
    assert next(event for event in found.events if "txt" in event) == f"opened {folder}/link.txt"
    assert not [event for event in found.events if "inside" in event]


def test_somebody_acts_when_the_second_file_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.txt"
    path.write_text("before")

    def command() -> int:
        os.write(1, path.read_bytes())
        os.write(1, path.read_bytes())
        return 0

    meanwhile = Meanwhile(lambda: path.rename(folder / "gone") and None, 2)
    found = observe(
        command, tmp_path / "work", folder=folder, places=(), code_of="nothing", meanwhile=meanwhile
    )

    assert (found.code, found.output) == (99, "before")
