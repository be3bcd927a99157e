from __future__ import annotations

import errno
import io
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from multihot.core.options import DataOptions
from multihot.data.examples import portable
from multihot.data.labelled_file import read_examples
from multihot.data.text_stream import TextRow, stream_texts
from multihot.errors import DataError, OptionError


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_every_column_is_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('id,text,joy,author\n7,"a\nb",1,me\n8,,NONE,\n'.encode("utf-8-sig"))

    stream = stream_texts(path)

    assert stream.columns == ("id", "text", "joy", "author")
    assert "Encoding: UTF-8, from the byte order mark." in stream.notes
    assert list(stream.rows) == [
        TextRow(2, "7", "a\nb", {"id": "7", "text": "a\nb", "joy": "1", "author": "me"}),
        TextRow(4, "8", "", {"id": "8", "text": "", "joy": "NONE", "author": ""}),
    ]


def test_json_values_become_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"text": "a", "n": 1.5, "ok": true, "l": ["é"]}\n{"text": "b"}\n', encoding="utf-8"
    )

    rows = list(stream_texts(path).rows)

    assert rows[0].values == {"text": "a", "n": "1.5", "ok": "true", "l": '["é"]'}
    assert rows[1] == TextRow(2, "2", "b", {"text": "b", "n": "", "ok": "", "l": ""})


def test_what_training_stored_reads_files_with_other_columns(tmp_path: Path) -> None:
    train = tmp_path / "train.txt"
    train.write_text("ID\tTweet\tjoy\n1\ta\t1\n", encoding="utf-8")
    data = portable(read_examples(train).data)
    later = tmp_path / "later.jsonl"
    later.write_text('{"source": "x", "Tweet": "hi", "text": "no"}\n', encoding="utf-8")

    stream = stream_texts(later, data)

    assert [(row.id, row.text) for row in stream.rows] == [("1", "hi")]
    assert "There is no id column 'ID' in this file: rows are numbered." in stream.notes


def test_a_wrong_line_is_named_when_it_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,a\n2,b,c\n", encoding="utf-8")

    rows = stream_texts(path).rows

    assert next(rows).text == "a"
    with pytest.raises(DataError, match=r"t.csv:3: This record has 3 cells"):
        next(rows)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    text = "some words here " * 50
    row = f'1,"{text}"\n' if ending == "csv" else f'{{"id": 1, "text": "{text}"}}\n'
    path.write_text(("id,text\n" if ending == "csv" else "") + row * 10_000, encoding="utf-8")

    tracemalloc.start()
    num_rows = sum(1 for _ in stream_texts(path).rows)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert num_rows == 10_000
    assert peak_bytes < path.stat().st_size / 5


def test_what_only_reading_to_the_end_tells_is_noted_then(tmp_path: Path) -> None:
    comma, tab = tmp_path / "t.csv", tmp_path / "t.tsv"
    comma.write_text("id,text\n\n1,a\n\n", encoding="utf-8")
    tab.write_text('id\ttext\n1\t"say ""hi"""\n', encoding="utf-8")

    for path, words in (
        (comma, "2 blank lines were skipped; the first is line 2."),
        (tab, "1 line (the first is 2) with cells that look quoted"),
    ):
        stream = stream_texts(path)
        before = len(stream.notes)
        assert len(list(stream.rows)) == 1
        (late,) = stream.notes[before:]
        assert late.startswith(words)


def test_a_blank_line_is_an_empty_text_where_there_is_one_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ntext\na\n\n""\nb\n\n', encoding="utf-8")

    stream = stream_texts(path)

    rows = [(row.line, row.text) for row in stream.rows]
    assert rows == [(3, "a"), (4, ""), (5, ""), (6, "b"), (7, "")]
    assert "1 blank lines were skipped; the first is line 1." in stream.notes
    assert (
        "2 blank lines are empty texts, since there is one column; the first is line 4."
        in stream.notes
    )
    examples = read_examples(path, labels="ignore")
    assert list(zip(examples.lines, examples.texts, strict=True)) == rows


def test_a_text_that_is_missing_is_an_empty_one_and_counted(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": None}, {"id": "7"}]
    lines = tmp_path / "t.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    parquet = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None]}), parquet)

    for path, texts, note in (
        (lines, ["a", "", ""], "2 rows have no text; they count as empty texts."),
        (parquet, ["a", ""], "1 row has no text; it counts as an empty text."),
    ):
        stream = stream_texts(path)
        assert note not in stream.notes
        assert [row.text for row in stream.rows] == texts
        assert stream.notes[-1] == note
        with pytest.raises(DataError, match=r"The text is missing \(null\)"):
            read_examples(path, labels="ignore")


def test_a_missing_text_on_standard_input_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b'{"text": "a"}\n{"more": 1}\n')

    stream = stream_texts("-")

    assert [row.text for row in stream.rows] == ["a", ""]
    assert stream.notes[-1] == "1 row has no text; it counts as an empty text."


def test_an_input_that_cannot_be_read_to_its_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Broken()))
    with pytest.raises(DataError, match=r"standard input: The input cannot be read to its end"):
        stream_texts("-")

    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf-8")
    stream = stream_texts(path)
    path.unlink()
    with pytest.raises(DataError, match=r"t\.jsonl: The input .*: No such file or directory"):
        list(stream.rows)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_with_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")

    with pytest.raises(DataError, match=r"t\.csv: This is a pipe .* send them to --input -"):
        stream_texts(tmp_path / "t.csv")


def test_standard_input_is_one_text_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "\n  早上好 \r\n\nlast".encode())

    stream = stream_texts("-")

    assert stream.columns == ("text",)
    assert [(row.line, row.id, row.text) for row in stream.rows] == [
        (1, "1", ""),
        (2, "2", "  早上好 "),
        (3, "3", ""),
        (4, "4", "last"),
    ]


def test_standard_input_may_be_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b'\n{"id": "x", "text": "a"}\n{"text": "b", "more": 1}\n')

    stream = stream_texts("-")

    assert stream.columns == ("id", "text")
    assert list(stream.rows) == [
        TextRow(2, "x", "a", {"id": "x", "text": "a"}),
        TextRow(3, "", "b", {"id": "", "text": "b", "more": "1"}),
    ]


def test_standard_input_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.BytesIO):
        served = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.served += 1
            return super().readline(size)

    source = Slow(b"a\nb\nc\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(source))

    rows = stream_texts("-").rows

    assert next(rows).text == "a"
    assert source.served == 1


def test_standard_input_may_be_text_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    assert [row.text for row in stream_texts("-").rows] == ["a", "b"]

    feed(monkeypatch, b"")
    assert list(stream_texts("-").rows) == []
    feed(monkeypatch, b"\n")
    assert list(stream_texts("-", DataOptions(format="jsonl")).rows) == []


def test_standard_input_obeys_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "动力\n".encode("gb18030"))
    assert next(stream_texts("-", DataOptions(encoding="gb18030")).rows).text == "动力"

    feed(monkeypatch, "ok\n动力\n".encode("gb18030"))
    with pytest.raises(DataError, match="standard input:2: These bytes do not fit"):
        list(stream_texts("-").rows)


def test_bad_standard_input_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, json.dumps({"a": 1, "b": 2}).encode())
    with pytest.raises(DataError, match="standard input: No column is named like a text"):
        stream_texts("-")
    feed(monkeypatch, b'{"text": "a"}\nplain\n')
    with pytest.raises(DataError, match="standard input:2: Invalid JSON"):
        list(stream_texts("-").rows)
    with pytest.raises(OptionError, match=r"data.format=csv cannot be read from standard input"):
        stream_texts("-", DataOptions(format="csv"))


@pytest.mark.parametrize(
    "content", ["it rains\ntea is served\n", "it rains; again\ntea is served\n"]
)
def test_a_file_of_one_text_a_line_that_is_read_as_a_table_is_told_how_to_be_read(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(content, "utf-8")
    advice = r"If every line is a text, set data\.format=lines\."

    data = DataOptions(text_column="text")
    with pytest.raises(DataError, match=advice):
        read_examples(path, data)
    with pytest.raises(DataError, match=advice):
        list(stream_texts(path, data).rows)
    assert [row.text for row in stream_texts(path, DataOptions(format="lines")).rows][1:] == [
        "tea is served"
    ]


def test_lines_are_texts_for_a_model_with_a_column_of_texts(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("late again, and more; sorry\n\nthanks\n", "utf-8")

    stream = stream_texts(tmp_path / "new.txt", DataOptions(format="lines", text_column="Tweet"))

    assert next(row.text for row in stream.rows) == "late again, and more; sorry"
