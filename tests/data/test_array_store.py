from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multihot.data.array_store import new_arrays, open_arrays
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

    with pytest.raises(StorageError, match="Cannot write"):
        _make(tmp_path / "file" / "entry", [1])
