"""Where the cache is, and what is removed from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from multihot.data.array_store import cache_folder, remove_old


@pytest.mark.skipif(sys.platform != "linux", reason="where other platforms have their folder")
@pytest.mark.parametrize(
    ("word", "expected"),
    [("", ".cache/multihot/tokens"), ("~/mine", "mine/tokens"), ("/x", "/x/tokens")],
)
def test_the_folder_is_the_named_one_or_the_platforms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("MULTIHOT_CACHE", word)

    assert cache_folder() == tmp_path / expected


@pytest.mark.parametrize("word", ["off", "OFF", " none ", "0"])
def test_the_cache_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", word)

    assert cache_folder() is None


def test_what_killed_writers_left_goes_after_a_week(tmp_path: Path) -> None:
    key = "0123456789abcdef" * 2
    left = [f".writing-{key}-1-0a1b2c3d", f".{key}.1.0a1b2c3d"]
    for name in (*left, f".{key}", "mine"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / f".{key}.2.0a1b2c3d").mkdir()  # of now

    remove_old(tmp_path)

    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f".{key}", f".{key}.2.0a1b2c3d", "mine"]
