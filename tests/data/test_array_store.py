"""Arrays in files are complete or absent; where the cache is, and what is removed from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from multihot.data.array_store import (
    cache_folder,
    entry_of,
    new_arrays,
    new_entry,
    open_arrays,
    open_entry,
    remove_old,
)
from multihot.errors import StorageError

TYPES = {"ids": np.uint16, "none": np.int64}


def _make(folder: Path, values: list[int]) -> None:
    with new_arrays(folder, TYPES) as writer:
        for value in values:
            writer.append("ids", np.array([value, value]))
        writer.facts["notes"] = ["made"]


def test_what_was_appended_is_mapped_again(tmp_path: Path) -> None:
    _make(tmp_path / "inner" / "entry", [1, 2, 60000])
    found = open_arrays(tmp_path / "inner" / "entry")

    assert found is not None
    arrays, facts = found
    np.testing.assert_array_equal(arrays["ids"], [1, 1, 2, 2, 60000, 60000])
    assert arrays["ids"].dtype == np.uint16
    assert isinstance(arrays["ids"].base, np.memmap)
    assert len(arrays["none"]) == 0
    assert facts == {"notes": ["made"]}


def test_an_array_takes_type_and_row_shape_of_its_first_piece(tmp_path: Path) -> None:
    with new_arrays(tmp_path / "entry") as writer:
        writer.append("scores", np.ones((2, 3), dtype=">f4"))
        writer.append("scores", np.zeros((1, 3), dtype=np.float64))

    assert writer.lengths == {"scores": 3}
    for stored in (writer.stored, open_arrays(tmp_path / "entry")):
        assert stored is not None
        scores = stored[0]["scores"]
        assert (scores.dtype, scores.tolist()) == (np.float32, [[1, 1, 1], [1, 1, 1], [0, 0, 0]])


def test_an_entry_of_the_cache_is_verified_byte_by_byte(tmp_path: Path) -> None:
    with new_entry(tmp_path, "key") as writer:
        writer.append("ids", np.array([1, 2], dtype=np.uint16))
    (entry,) = tmp_path.iterdir()

    assert open_entry(tmp_path, "another key") is None
    assert open_arrays(entry, key="another key") is None
    stored = open_entry(tmp_path, "key")
    assert stored is not None
    assert stored[0]["ids"].tolist() == [1, 2]
    (entry / "ids.bin").write_bytes(b"\1\0\3\0")
    assert open_entry(tmp_path, "key") is None


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    writing = new_arrays(tmp_path / "entry", TYPES)
    writing.__enter__().append("ids", np.array([1]))
    assert len(list(tmp_path.iterdir())) == 1
    swallowed = writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert not swallowed
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_as_good_as_absent_and_is_replaced(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    _make(entry, [1])
    (entry / "ids.bin").write_bytes(b"x")

    assert open_arrays(entry) is None
    _make(entry, [5])
    found = open_arrays(entry)
    assert found is not None
    assert found[0]["ids"].tolist() == [5, 5]


def test_an_entry_whose_description_is_nested_without_end_is_absent(tmp_path: Path) -> None:
    with new_entry(tmp_path, "key") as writer:
        writer.append("a", np.arange(3))
    (entry_of(tmp_path, "key") / "meta.json").write_text("[" * 100_000, "utf-8")

    assert open_entry(tmp_path, "key") is None


def test_the_first_writer_wins(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    with new_arrays(entry, TYPES) as writer:
        _make(entry, [1])
        writer.append("ids", np.array([2, 2]))

    found = open_arrays(entry)
    assert found is not None
    assert found[0]["ids"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [entry]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError):
        _make(tmp_path / "file" / "entry", [1])


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
    for name in (f".{key}.1.0a1b2c3d", f".{key}", "mine"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / f".{key}.2.0a1b2c3d").mkdir()  # of now

    remove_old(tmp_path)

    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f".{key}", f".{key}.2.0a1b2c3d", "mine"]
