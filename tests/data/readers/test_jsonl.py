from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.data.readers.jsonl import read_jsonlines
from multihot.errors import DataError


def read(folder: Path, content: str, codec: str = "utf-8", **options: Any) -> tuple[Any, ...]:
    path = folder / "lines.jsonl"
    path.write_bytes(content.encode(codec))
    table = read_jsonlines(path, **options)
    return table.columns, list(table.rows), " ".join(table.notes)


def test_columns_are_all_keys_and_missing_ones_are_none(tmp_path: Path) -> None:
    columns, rows, notes = read(
        tmp_path, '{"text": "a"}\n\n{"id": 7, "text": "b", "labels": ["x"]}\n'
    )

    assert columns == ("text", "id", "labels")
    assert rows == [(1, ["a", None, None]), (3, ["b", 7, ["x"]])]
    assert notes == ""


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_other_encodings_are_detected_and_said(tmp_path: Path, codec: str) -> None:
    columns, rows, notes = read(tmp_path, '{"text": "早\u2028上"}\n', codec)

    assert (columns, rows) == (("text",), [(1, ["早\u2028上"])])
    assert "byte order mark" in notes


def test_invalid_json_names_line_and_character(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r":2: Invalid JSON at character 11: .*one JSON object a line"
    ):
        read(tmp_path, '{"text": "a"}\n{"text": "\n')


def test_a_document_over_several_lines_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looks like one document over several lines"):
        read(tmp_path, '{\n"text": "a"\n}\n')


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("[1]", "a list"),
        ('"a"', "a text"),
        ("3", "a number"),
        ("2.5", "a number"),
        ("null", "null"),
        ("true", "true or false"),
    ],
)
def test_a_line_must_be_an_object(tmp_path: Path, line: str, kind: str) -> None:
    with pytest.raises(DataError, match=f":2: The line holds {kind}; one JSON object"):
        read(tmp_path, f'{{"text": "a"}}\n{line}\n')


def test_a_repeated_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=":1: Cannot be read as JSON: the key 'text' occurs more than once"
    ):
        read(tmp_path, '{"text": "a", "text": "b"}\n')


def test_deep_nesting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=":1: "):
        read(tmp_path, '{"text": ' + "[" * 100_000 + "\n")


@pytest.mark.parametrize(
    "line", ['{"id": 1, "text": "bad \\ud800 x"}', '{"labels": ["\\uDC00"]}', '{"\\ud800": 1}']
)
def test_half_a_surrogate_pair_is_an_error(tmp_path: Path, line: str) -> None:
    with pytest.raises(
        DataError, match=r":1, column '.*': The text holds \\ud.00, half of a surrogate"
    ):
        read(tmp_path, line + "\n")


def test_whole_surrogate_pairs_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, '{"text": "\\ud83d\\ude00"}\n')[1] == [(1, ["😀"])]


def test_blank_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no content"):
        read(tmp_path, "\n \n")


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1), st.booleans())
def test_texts_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], ascii_only: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.jsonl"
    content = "\n".join(json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts)
    path.write_bytes(content.encode())

    assert texts == [cells[0] for _, cells in read_jsonlines(path).rows]
