"""JSON arrays are read as strictly as JSON lines; other documents are refused with what was found."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.data.readers.open_table import open_table
from multihot.errors import DataError

RECORDS = [
    {"text": "say hi", "labels": ["a", "b"]},
    {"text": "é, \U0001f600", "labels": []},
    {"labels": None, "text": "[{", "more": float("nan")},
]


def written(folder: Path, content: str, name: str = "t.json") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def cells(path: Path, **options: Any) -> list[Any]:
    table = open_table(path, DataOptions(**options))
    return [dict(zip(table.columns, cells, strict=True)) for _, cells in table.rows]


@pytest.mark.parametrize("indent", [None, 1, "\r\n"], ids=["one line", "indented", "blank lines"])
@pytest.mark.parametrize("is_array", [True, False])
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 18])
def test_records_are_read_however_they_are_laid_out(
    tmp_path: Path, indent: int | str | None, is_array: bool, block_bytes: int
) -> None:
    texts = [json.dumps(record, indent=indent, ensure_ascii=is_array) for record in RECORDS]
    content = f"[{','.join(texts)}]" if is_array else "\n".join(texts)
    path = written(tmp_path, content)

    table = open_table(path, DataOptions(format="json"), block_bytes=block_bytes)
    rows = list(table.rows)

    assert table.columns == ("text", "labels", "more")
    assert [cells[:2] for _, cells in rows] == [[r["text"], r["labels"]] for r in RECORDS]
    assert str(rows[2][1][2]) == "nan"


def test_the_line_of_a_row_is_that_of_its_object(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(RECORDS, indent=1).replace('"a"', "17"))

    with pytest.raises(DataError) as error:
        read_examples(path)

    assert (error.value.line, error.value.column) == (2, "labels")


def test_json_lines_named_json_are_read_as_such_and_that_is_said(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"t{number}", "meta": {"labels": ["a"]}}) for number in range(3)]
    path = written(tmp_path, "\n".join(lines))

    table = open_table(path, DataOptions())

    assert [line for line, _ in table.rows] == [1, 2, 3]
    assert "The file holds JSON lines: one object a line." in table.notes
    assert cells(written(tmp_path, lines[0]))[0]["meta"] == {"labels": ["a"]}


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("[1]", 1, "An element of the array is a number"),
        ('[\n{"text": "a"},\n["b"]]', 3, "An element of the array is a list"),
        ('[{"text": "a"}\n{"text": "b"}]', 2, "A comma or the end of the array is missing"),
        ('[{"text": "a"},\n]', 2, "Invalid JSON"),
        ('[{"text": "a"}]\n[]', 2, "Something follows the end of the array"),
        ('[{"text": "a"},\n', 2, "it is cut off"),
        ('[{"text": "a"},\n{"text": "b', 2, "Invalid JSON"),
        ('[\n{"text": "a", "text": "b"}]', 2, "the key 'text' occurs more than once"),
        ('[\n{"text": "\\ud83d!"}]', 2, "half of a surrogate pair"),
        ("[\n" + "[" * 100_000, 2, "nested too deeply"),
        ('[\n{"text": ' + "[" * 100_000 + "]" * 100_000 + "}]", 2, "nested too deeply"),
        ('[\n{"text": ' + "9" * 5000 + "}]", 2, "too many digits"),
        ("[\n{'text': 'a'}]", 2, "Invalid JSON"),
        ('[{"text": "a\0b"}]', 1, "Invalid JSON"),
        (
            '{"v": 1, "data": [{"text": "a"}]}',
            None,
            "one JSON object, in which 'data' holds a list",
        ),
        ('{\n"data": [{"text": "a"}]}', None, "one JSON object, in which 'data' holds a list"),
        ('{"text": {"0": "a", "1": "b"}, "x": {"0": 1, "1": 0}}', None, "written by columns"),
        ('{"text": ["a", "b"], "x": [1, 0]}', None, "written by columns"),
    ],
)
def test_other_documents_are_refused_with_what_was_found(
    tmp_path: Path, content: str, line: int | None, words: str
) -> None:
    path = written(tmp_path, content)

    with pytest.raises(DataError, match=words) as error:
        read_examples(path, DataOptions(format="json" if content.startswith("[\n[") else "auto"))

    assert (error.value.path, error.value.line) == (str(path), line)


def test_a_number_that_no_float_holds_is_an_error_of_its_cell(tmp_path: Path) -> None:
    for name, content in (
        ("t.json", '[{"text": "a", "x": 1%s}]'),
        ("t.jsonl", '{"text": "a", "x": 1%s}'),
    ):
        path = written(tmp_path, content % ("0" * 400), name)
        with pytest.raises(DataError) as error:
            read_examples(path)
        assert (error.value.line, error.value.column) == (1, "x")


def test_memory_does_not_grow_with_the_array(tmp_path: Path) -> None:
    record = json.dumps({"text": "some words here " * 150, "labels": ["a"]})
    path = written(tmp_path, "[" + ",".join([record] * 8_000) + "]")

    tracemalloc.start()
    table = open_table(path, DataOptions(), batch_rows=64)
    num_rows = sum(1 for _ in table.rows)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert num_rows == 8_000
    assert peak_bytes < path.stat().st_size / 4
