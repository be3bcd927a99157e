"""Parquet files with odd metadata or cells are read without it, or refused with the cell."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.data.readers.open_table import open_table
from multihot.errors import DataError


def stored(path: Path, table: Any, metadata: str | bytes | None = None) -> Path:
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": metadata})
    pyarrow.parquet.write_table(table, path)
    return path


def classes(names: Any) -> str:
    label = {"_type": "ClassLabel", "names": names}
    return json.dumps({"info": {"features": {"labels": {"feature": label, "_type": "Sequence"}}}})


NUMBERS = pyarrow.table({"text": ["x", "y"], "labels": [[0], [2]]})


@pytest.mark.parametrize(
    "metadata",
    [
        b"\xff\xfe",
        "{",
        "[]",
        "null",
        "{}",
        '{"info": []}',
        '{"info": {"features": null}}',
        "[" * 100_000,
        '{"info": {"features": {"labels": ' + '{"feature": ' * 900 + "1" + "}" * 903,
        classes([1, 2, 3]),
        classes("abc"),
        classes({"0": "a"}),
    ],
)
def test_odd_metadata_is_left_out(tmp_path: Path, metadata: str | bytes) -> None:
    table = open_table(stored(tmp_path / "t.parquet", NUMBERS, metadata), DataOptions())

    assert [cells[1] for _, cells in table.rows] == [[0], [2]]
    assert table.class_names == {}


def test_damaged_metadata_is_said(tmp_path: Path) -> None:
    for metadata in ("{", classes([1])):
        table = open_table(stored(tmp_path / "t.parquet", NUMBERS, metadata), DataOptions())
        (note,) = table.notes
        assert "class n" in note


def test_class_names_keep_their_order_and_those_without_rows(tmp_path: Path) -> None:
    path = stored(tmp_path / "t.parquet", NUMBERS, classes(["z", "never", "a"]))

    table = open_table(path, DataOptions())

    assert table.class_names == {"labels": ("z", "never", "a")}
    assert [cells[1] for _, cells in table.rows] == [["z"], ["a"]]


@pytest.mark.parametrize(
    ("cells", "row"), [([[0], [3]], 2), ([[-2], [0]], 1), ([["0"], ["1"]], 1), ([[None], [0]], 1)]
)
def test_a_class_number_without_a_name_is_an_error(
    tmp_path: Path, cells: list[Any], row: int
) -> None:
    numbers = pyarrow.table({"text": ["x", "y"], "labels": cells})
    path = stored(tmp_path / "t.parquet", numbers, classes(["a", "b", "c"]))

    with pytest.raises(DataError) as error:
        read_examples(path)

    assert (error.value.path, error.value.line, error.value.column) == (str(path), row, "labels")


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    offsets, content = bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]), b"a\xff"
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(content)]
    texts = pyarrow.Array.from_buffers(pyarrow.string(), 2, buffers)
    path = stored(tmp_path / "t.parquet", pyarrow.table({"text": texts, "joy": [0, 1]}))

    with pytest.raises(DataError) as error:
        read_examples(path)

    assert (error.value.path, error.value.line, error.value.column) == (str(path), 2, "text")


def test_decimals_and_lists_of_objects_are_cells(tmp_path: Path) -> None:
    table = pyarrow.table(
        {"text": ["x", "y"], "joy": [Decimal("1.0"), None], "labels": [[{"name": "a"}], []]}
    )

    rows = open_table(stored(tmp_path / "t.parquet", table), DataOptions()).rows

    assert [cells[1:] for _, cells in rows] == [[Decimal("1.0"), [{"name": "a"}]], [None, []]]
