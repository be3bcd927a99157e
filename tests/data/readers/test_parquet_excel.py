from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from multihot.data.readers.excel import read_workbook
from multihot.data.readers.parquet_excel import read_parquet
from multihot.errors import DataError, MissingExtraError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    content = {
        "id": [1, 2],
        "text": ["a", None],
        "labels": [["joy"], []],
        "love": [True, None],
        "fear": [0.0, float("nan")],
    }
    parquet.write_table(pyarrow.table(content), tmp_path / "t.parquet")

    table = read_parquet(tmp_path / "t.parquet")
    rows = list(table.rows)

    assert table.columns == ("id", "text", "labels", "love", "fear")
    assert rows[0] == (1, [1, "a", ["joy"], True, 0.0])
    assert rows[1][1][:4] == [2, None, [], None]


def test_parquet_dictionaries_become_texts(tmp_path: Path) -> None:
    content = {"text": pyarrow.array(["a", "b", "a"]).dictionary_encode()}
    parquet.write_table(pyarrow.table(content), tmp_path / "t.parquet")

    assert [cells for _, cells in read_parquet(tmp_path / "t.parquet").rows] == [
        ["a"],
        ["b"],
        ["a"],
    ]


def test_parquet_uses_the_class_names_that_a_data_set_stored(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["anger", "joy"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.Sequence(names)}
    )
    content = {"text": ["a", "b"], "labels": [[1, 0], []]}
    datasets.Dataset.from_dict(content, features=features).to_parquet(str(tmp_path / "t.parquet"))

    rows = list(read_parquet(tmp_path / "t.parquet").rows)

    assert rows == [(1, ["a", ["joy", "anger"]]), (2, ["b", []])]


def test_damaged_parquet_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nothing here PAR1")
    with pytest.raises(DataError, match="damaged and cannot be read"):
        read_parquet(path)

    parquet.write_table(pyarrow.table({"text": ["word " * 50] * 1000}), path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged and cannot be read"):
        list(read_parquet(path).rows)


@pytest.mark.parametrize(
    ("package", "extra", "read"),
    [("pyarrow", "train", read_parquet), ("openpyxl", "excel", read_workbook)],
)
def test_the_missing_package_is_named(
    package: str, extra: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError, match=rf"multihot\[{extra}\]"):
        read(Path("file"))
